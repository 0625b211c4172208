//! From file to labels: the whole story.

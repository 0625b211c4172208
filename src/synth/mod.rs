//! Synthetic tissue: curved cells, rendered as a membrane stain.

//! Training of 3DCellSegNet.

//! Normalisation of grey values.

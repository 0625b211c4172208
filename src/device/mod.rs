//! Where operations run.

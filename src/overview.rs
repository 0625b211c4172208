//! A picture of a volume, its classes and its cells.

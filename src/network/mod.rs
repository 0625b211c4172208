//! 3DCellSegNet (paper, Fig. 4; the authors' `CellSegNet_basic_lite`).
pub mod layout;

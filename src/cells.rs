//! Stage 2: from classes to labelled cells.

//! The weights of a network, and their files.

/// All parameters and statistics of one network, flat, in the order of [`crate::network::layout`].
#[derive(Clone, Debug)]
pub struct Weights {
    /// [`crate::network::layout::total_len`] values.
    pub values: Vec<f32>,
}

impl Weights {
    /// The tensor of this name.
    ///
    /// # Panics
    /// Where the network has no such tensor: names are the program's own.
    pub fn get(&self, name: &str) -> &[f32] {
        let range = crate::network::layout::range_of(name).unwrap_or_else(|| panic!("no tensor {name}"));
        &self.values[range]
    }
}

//! The parameters of 3DCellSegNet: their names, shapes and place in one flat array.
//!
//! Names and shapes are those of the authors' checkpoints (PyTorch order: convolutions
//! `[out, in, z, y, x]`, transposed convolutions `[in, out, z, y, x]`). All trainable parameters come first,
//! so that the optimiser works on one contiguous range; the running statistics of batch norm follow.
use std::ops::Range;

/// One parameter tensor.
pub struct Parameter {
    /// The authors' name, for example `conv2.weight`.
    pub name: &'static str,
    /// PyTorch's shape.
    pub shape: &'static [usize],
}

const fn p(name: &'static str, shape: &'static [usize]) -> Parameter {
    Parameter { name, shape }
}

/// The trainable parameters, in the order of [`values`](crate::weights::Weights::values).
pub const TRAINABLE: [Parameter; 38] = [
    p("conv1.weight", &[16, 1, 1, 1, 1]),
    p("conv1.bias", &[16]),
    p("conv2.weight", &[32, 16, 3, 3, 3]),
    p("conv2.bias", &[32]),
    p("bnorm1.weight", &[32]),
    p("bnorm1.bias", &[32]),
    p("conv3.weight", &[64, 32, 3, 3, 3]),
    p("conv3.bias", &[64]),
    p("resmodule1.batchnorm_module.weight", &[64]),
    p("resmodule1.batchnorm_module.bias", &[64]),
    p("resmodule1.conv_module.weight", &[64, 64, 3, 3, 3]),
    p("resmodule1.conv_module.bias", &[64]),
    p("conv4.weight", &[64, 64, 3, 3, 3]),
    p("conv4.bias", &[64]),
    p("resmodule2.batchnorm_module.weight", &[64]),
    p("resmodule2.batchnorm_module.bias", &[64]),
    p("resmodule2.conv_module.weight", &[64, 64, 3, 3, 3]),
    p("resmodule2.conv_module.bias", &[64]),
    p("conv5.weight", &[64, 64, 3, 3, 3]),
    p("conv5.bias", &[64]),
    p("resmodule3.batchnorm_module.weight", &[64]),
    p("resmodule3.batchnorm_module.bias", &[64]),
    p("resmodule3.conv_module.weight", &[64, 64, 3, 3, 3]),
    p("resmodule3.conv_module.bias", &[64]),
    p("deconv1.weight", &[64, 64, 4, 4, 4]),
    p("deconv1.bias", &[64]),
    p("bnorm2.weight", &[64]),
    p("bnorm2.bias", &[64]),
    p("deconv2.weight", &[64, 64, 4, 4, 4]),
    p("deconv2.bias", &[64]),
    p("bnorm3.weight", &[64]),
    p("bnorm3.bias", &[64]),
    p("deconv3.weight", &[64, 32, 4, 4, 4]),
    p("deconv3.bias", &[32]),
    p("bnorm4.weight", &[32]),
    p("bnorm4.bias", &[32]),
    p("conv6.weight", &[3, 32, 3, 3, 3]),
    p("conv6.bias", &[3]),
];

/// The running statistics of the seven batch norms, behind the trainable parameters.
pub const STATISTICS: [Parameter; 14] = [
    p("bnorm1.running_mean", &[32]),
    p("bnorm1.running_var", &[32]),
    p("resmodule1.batchnorm_module.running_mean", &[64]),
    p("resmodule1.batchnorm_module.running_var", &[64]),
    p("resmodule2.batchnorm_module.running_mean", &[64]),
    p("resmodule2.batchnorm_module.running_var", &[64]),
    p("resmodule3.batchnorm_module.running_mean", &[64]),
    p("resmodule3.batchnorm_module.running_var", &[64]),
    p("bnorm2.running_mean", &[64]),
    p("bnorm2.running_var", &[64]),
    p("bnorm3.running_mean", &[64]),
    p("bnorm3.running_var", &[64]),
    p("bnorm4.running_mean", &[32]),
    p("bnorm4.running_var", &[32]),
];

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element; no parameter of this network is so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Every tensor with its range in the flat array: the trainable ones, then the statistics.
pub fn tensors() -> impl Iterator<Item = (&'static Parameter, Range<usize>)> {
    TRAINABLE.iter().chain(&STATISTICS).scan(0, |start, parameter| {
        let range = *start..*start + parameter.len();
        *start = range.end;
        Some((parameter, range))
    })
}

/// Number of trainable parameters: 1,281,411.
pub fn trainable_len() -> usize {
    TRAINABLE.iter().map(Parameter::len).sum()
}

/// Number of all values, statistics included.
pub fn total_len() -> usize {
    trainable_len() + STATISTICS.iter().map(Parameter::len).sum::<usize>()
}

/// The range of the tensor `name`; `None` where the network has no such tensor.
pub fn range_of(name: &str) -> Option<Range<usize>> {
    tensors().find(|(parameter, _)| parameter.name == name).map(|(_, range)| range)
}

/// The first two extents of a convolution's weights.
///
/// # Panics
/// Where the network has no convolution of this name.
pub fn channels(name: &str) -> [usize; 2] {
    let parameter = TRAINABLE.iter().find(|parameter| parameter.name == name);
    match parameter.map(|parameter| parameter.shape) {
        Some(&[outer, inner, ..]) => [outer, inner],
        _ => panic!("no convolution {name}"),
    }
}

/// The range of a tensor that the network has.
///
/// # Panics
/// Where it has none of this name.
pub fn range(name: &str) -> Range<usize> {
    range_of(name).unwrap_or_else(|| panic!("no tensor {name}"))
}

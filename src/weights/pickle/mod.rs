//! A pickle interpreter that understands state dicts and nothing else.
//!
//! A pickle is a program for a stack machine that may call any Python function. Here only the handful of
//! functions that `torch.save` needs for tensors exist, and they build plain data: a file cannot run code.
//! Anything else is an error that names it. Objects live in one flat heap and refer to each other by index, so
//! that memory is linear in the length of the pickle and no nesting is too deep.
//! Source: CPython's `pickletools.py` and PyTorch's `torch/serialization.py`, protocol 2.
mod machine;

pub use machine::run;

/// What went wrong: what was found in the file.
pub type Found<T> = Result<T, String>;

/// Index of an object in the heap.
pub type Id = usize;

/// Type of the values of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 16-bit floats of Google's kind.
    BFloat16,
    /// IEEE 16-bit floats.
    Half,
    /// IEEE 32-bit floats.
    Float,
    /// IEEE 64-bit floats.
    Double,
    /// Integers and truth values, by PyTorch's name of the storage: never weights.
    Other(&'static str),
}

/// A flat array in the archive.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Type of the values.
    pub kind: Kind,
    /// Name of the archive's entry below `data/`.
    pub key: String,
    /// Number of values.
    pub len: usize,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Where the values are.
    pub storage: Storage,
    /// First value's index in the storage.
    pub offset: usize,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Step of each axis in the storage, in values.
    pub strides: Vec<usize>,
}

/// The functions that a state dict calls.
#[derive(Clone, Copy, Debug)]
enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
}

/// One Python object.
#[derive(Clone, Debug)]
enum Object {
    None,
    Int(i64),
    /// A float or truth value: never of interest, but hyperparameters may stand beside the weights.
    Number,
    Text(String),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Kind(Kind),
    Function(Function),
    Storage(Storage),
    Tensor(Tensor),
}

/// The objects of a pickle that has run.
pub struct Pickle {
    heap: Vec<Object>,
    root: Id,
}

impl Pickle {
    /// The last object, the one that was saved.
    pub fn root(&self) -> Id {
        self.root
    }

    /// The items of a dict whose keys are text, in file order; `None` where `id` is no dict. Other keys are left
    /// out.
    pub fn items(&self, id: Id) -> Option<Vec<(&str, Id)>> {
        let Object::Dict(items) = &self.heap[id] else { return None };
        let text = |&(key, value): &(Id, Id)| match &self.heap[key] {
            Object::Text(key) => Some((key.as_str(), value)),
            _ => None,
        };
        Some(items.iter().filter_map(text).collect())
    }

    /// The tensor that `id` is.
    pub fn tensor(&self, id: Id) -> Option<&Tensor> {
        match &self.heap[id] {
            Object::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

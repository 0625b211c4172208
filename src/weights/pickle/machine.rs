//! The stack machine that a pickle is a program for.
use std::collections::HashMap;

use super::{Found, Function, Id, Kind, Object, Pickle, Storage, Tensor};

/// Runs a pickle.
///
/// # Errors
/// Where it is cut short or does what no state dict needs.
pub fn run(program: &[u8]) -> Found<Pickle> {
    let mut machine = Machine { rest: program, ..Machine::default() };
    while machine.root.is_none() {
        machine.step()?;
    }
    let root = machine.root.expect("the loop ends with a root");
    Ok(Pickle { heap: machine.heap, root })
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    heap: Vec<Object>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    root: Option<Id>,
}

impl Machine<'_> {
    /// Executes one opcode; the letters are those of `pickletools.py`.
    fn step(&mut self) -> Found<()> {
        match self.byte()? {
            0x80 => self.protocol()?,
            b'}' => self.push(Object::Dict(Vec::new())),
            b']' => self.push(Object::List),
            b')' => self.push(Object::Tuple(Vec::new())),
            b'N' => self.push(Object::None),
            0x88 | 0x89 => self.push(Object::Number),
            b'G' => {
                self.take(8)?;
                self.push(Object::Number);
            }
            b'K' => self.int(|machine| Ok(machine.byte()?.into()))?,
            b'M' => self.int(|machine| Ok(u16::from_le_bytes(machine.array()?).into()))?,
            b'J' => self.int(|machine| Ok(i32::from_le_bytes(machine.array()?).into()))?,
            0x8a => self.int(Machine::long)?,
            b'X' => self.text()?,
            b'c' => self.global()?,
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let items = self.since_mark()?;
                self.push(Object::Tuple(items));
            }
            code @ 0x85..=0x87 => self.tuple(usize::from(code - 0x84))?,
            b'q' => self.remember(|machine| Ok(machine.byte()?.into()))?,
            b'r' => self.remember(|machine| Ok(u32::from_le_bytes(machine.array()?)))?,
            b'h' => self.recall(|machine| Ok(machine.byte()?.into()))?,
            b'j' => self.recall(|machine| Ok(u32::from_le_bytes(machine.array()?)))?,
            b'a' => {
                self.pop()?;
                self.list()?;
            }
            b'e' => {
                self.since_mark()?;
                self.list()?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.dict()?.push((key, value));
            }
            b'u' => {
                let items = self.since_mark()?;
                self.dict()?.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            b'Q' => self.persistent()?,
            b'R' => self.call()?,
            // BUILD sets attributes of the object below, here a state dict's `_metadata`: versions of modules.
            b'b' => {
                self.pop()?;
            }
            b'.' => self.root = Some(self.pop()?),
            code => return Err(format!("the pickle opcode {code:#04x} ({:?})", char::from(code))),
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Found<&[u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or("a pickle cut short")?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Found<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn byte(&mut self) -> Found<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.heap.len());
        self.heap.push(object);
    }

    /// Pops what stands above the last open mark.
    fn pop(&mut self) -> Found<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a pickle that takes more than it has".to_owned());
        }
        Ok(self.stack.pop().expect("longer than its floor"))
    }

    fn since_mark(&mut self) -> Found<Vec<Id>> {
        let mark = self.marks.pop().ok_or("a pickle without the mark that it needs")?;
        Ok(self.stack.split_off(mark))
    }

    fn protocol(&mut self) -> Found<()> {
        match self.byte()? {
            2 => Ok(()),
            other => Err(format!("pickle protocol {other} instead of 2")),
        }
    }

    fn int(&mut self, read: impl FnOnce(&mut Self) -> Found<i64>) -> Found<()> {
        let value = read(self)?;
        self.push(Object::Int(value));
        Ok(())
    }

    /// A long integer: a length, then as many bytes, little-endian in two's complement.
    fn long(&mut self) -> Found<i64> {
        let len = usize::from(self.byte()?);
        let digits = self.take(len)?;
        if len > 8 {
            return Err(format!("an integer of {len} bytes"));
        }
        let sign = if digits.last().is_some_and(|&top| top > 0x7f) { 0xff } else { 0 };
        let mut bytes = [sign; 8];
        bytes[..len].copy_from_slice(digits);
        Ok(i64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Found<()> {
        let len = u32::from_le_bytes(self.array()?);
        let bytes = self.take(len as usize)?.to_vec();
        let text = String::from_utf8(bytes).map_err(|_| "text that is no UTF-8")?;
        self.push(Object::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Found<String> {
        let end = self.rest.iter().position(|&b| b == b'\n').ok_or("a pickle cut short")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn global(&mut self) -> Found<()> {
        let (module, name) = (self.line()?, self.line()?);
        let object = match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => Object::Function(Function::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Object::Function(Function::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Object::Function(Function::RebuildParameter),
            ("torch", storage) => match kind(storage) {
                Some(kind) => Object::Kind(kind),
                None => return Err(format!("the Python object torch.{storage}")),
            },
            _ => return Err(format!("the Python object {module}.{name}")),
        };
        self.push(object);
        Ok(())
    }

    fn tuple(&mut self, len: usize) -> Found<()> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Found<Vec<Id>>>()?;
        items.reverse();
        self.push(Object::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, key: impl FnOnce(&mut Self) -> Found<u32>) -> Found<()> {
        let (key, id) = (key(self)?, self.top()?);
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: impl FnOnce(&mut Self) -> Found<u32>) -> Found<()> {
        let key = key(self)?;
        self.stack.push(*self.memo.get(&key).ok_or("a pickle that recalls what it never stored")?);
        Ok(())
    }

    fn top(&mut self) -> Found<Id> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    fn list(&mut self) -> Found<()> {
        let id = self.top()?;
        match self.heap[id] {
            Object::List => Ok(()),
            _ => Err("a pickle that appends to what is no list".to_owned()),
        }
    }

    fn dict(&mut self) -> Found<&mut Vec<(Id, Id)>> {
        let id = self.top()?;
        match &mut self.heap[id] {
            Object::Dict(items) => Ok(items),
            _ => Err("a pickle that sets items of what is no dict".to_owned()),
        }
    }

    fn pop_tuple(&mut self) -> Found<Vec<Id>> {
        let id = self.pop()?;
        match &self.heap[id] {
            Object::Tuple(items) => Ok(items.clone()),
            _ => Err("a pickle without the tuple that it needs".to_owned()),
        }
    }

    /// A storage: `('storage', type, key, device, length)`.
    fn persistent(&mut self) -> Found<()> {
        let items = self.pop_tuple()?;
        let [tag, kind, key, _, len] = self.objects(&items).ok_or("a persistent id of another shape")?;
        let storage = match (tag, kind, key, len) {
            (Object::Text(tag), Object::Kind(kind), Object::Text(key), Object::Int(len))
                if tag == "storage" && *len >= 0 =>
            {
                Storage {
                    kind: *kind,
                    key: key.clone(),
                    len: usize::try_from(*len).map_err(|e| e.to_string())?,
                }
            }
            _ => return Err("a persistent id that is no storage".to_owned()),
        };
        self.push(Object::Storage(storage));
        Ok(())
    }

    fn call(&mut self) -> Found<()> {
        let arguments = self.pop_tuple()?;
        let function = self.pop()?;
        let Object::Function(function) = self.heap[function] else {
            return Err("a pickle that calls what is no function".to_owned());
        };
        match function {
            Function::OrderedDict if arguments.is_empty() => self.push(Object::Dict(Vec::new())),
            Function::OrderedDict => return Err("an ordered dict built from arguments".to_owned()),
            Function::RebuildTensor => {
                let tensor = self.rebuild(&arguments).ok_or("a tensor with unknown arguments")?;
                self.push(Object::Tensor(tensor));
            }
            // A parameter is its tensor: `(tensor, requires_grad, hooks)`.
            Function::RebuildParameter => self.stack.push(*arguments.first().ok_or("an empty parameter")?),
        }
        Ok(())
    }

    /// `(storage, offset, shape, strides, ...)`: what follows concerns gradients.
    fn rebuild(&self, arguments: &[Id]) -> Option<Tensor> {
        let [storage, offset, shape, strides] = self.objects(arguments.get(..4)?)?;
        let (Object::Storage(storage), Object::Tuple(shape), Object::Tuple(strides)) =
            (storage, shape, strides)
        else {
            return None;
        };
        let tensor = Tensor {
            storage: storage.clone(),
            offset: size(offset)?,
            shape: shape.iter().map(|&id| size(&self.heap[id])).collect::<Option<_>>()?,
            strides: strides.iter().map(|&id| size(&self.heap[id])).collect::<Option<_>>()?,
        };
        (tensor.shape.len() == tensor.strides.len()).then_some(tensor)
    }

    fn objects<const N: usize>(&self, ids: &[Id]) -> Option<[&Object; N]> {
        let ids: [Id; N] = ids.try_into().ok()?;
        Some(ids.map(|id| &self.heap[id]))
    }
}

fn size(object: &Object) -> Option<usize> {
    match object {
        Object::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

/// The values of a storage class of the module `torch`.
fn kind(storage: &str) -> Option<Kind> {
    const OTHERS: [&str; 6] =
        ["LongStorage", "IntStorage", "ShortStorage", "CharStorage", "ByteStorage", "BoolStorage"];
    match storage {
        "FloatStorage" => Some(Kind::Float),
        "HalfStorage" => Some(Kind::Half),
        "BFloat16Storage" => Some(Kind::BFloat16),
        "DoubleStorage" => Some(Kind::Double),
        _ => OTHERS.into_iter().find(|&other| other == storage).map(Kind::Other),
    }
}

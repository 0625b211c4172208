//! The data sets of a file. What cannot be read, be it a data set, a group or a link that leads nowhere, is passed over.
use std::collections::HashSet;

use hdf5_reader::error::{Error, Result};
use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::link_info::LinkInfoMessage;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::{
    Dataset, Hdf5File, btree_v1, btree_v2, fractal_heap, io, local_heap, messages, symbol_table,
};

/// Groups deeper than this are not searched.
const DEPTH: usize = 32;

/// All data sets of a file with their paths, without the leading slash, and what was passed over with the reason.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) datasets: Vec<(String, Dataset)>,
    pub(super) unread: Vec<(String, Error)>,
    /// The groups that were searched, by their addresses; links may lead round in circles.
    seen: HashSet<u64>,
}

impl Tree {
    /// Searches a file.
    ///
    /// # Errors
    /// The root group cannot be read.
    pub(super) fn of(file: &Hdf5File) -> Result<Self> {
        let mut tree = Tree::default();
        tree.search(file, &file.root_group()?, "", DEPTH)?;
        Ok(tree)
    }

    fn search(&mut self, file: &Hdf5File, group: &Group, prefix: &str, depth: usize) -> Result<()> {
        if depth == 0 || !self.seen.insert(group.address()) {
            return Ok(());
        }
        let (groups, datasets) = match group.members() {
            Ok(members) => members,
            Err(_) => self.one_by_one(file, group, prefix)?,
        };
        self.datasets.extend(datasets.into_iter().map(|there| (format!("{prefix}{}", there.name()), there)));
        for inner in groups {
            let path = format!("{prefix}{}", inner.name());
            if let Err(error) = self.search(file, &inner, &format!("{path}/"), depth - 1) {
                self.unread.push((path, error));
            }
        }
        Ok(())
    }

    /// The members of a group some of which cannot be read.
    fn one_by_one(
        &mut self,
        file: &Hdf5File,
        group: &Group,
        prefix: &str,
    ) -> Result<(Vec<Group>, Vec<Dataset>)> {
        let (mut groups, mut datasets) = (Vec::new(), Vec::new());
        for name in names(file, group)? {
            match (group.dataset(&name), group.group(&name)) {
                (Ok(dataset), _) => datasets.push(dataset),
                (_, Ok(group)) => groups.push(group),
                // A link that leads nowhere, or a type with a name.
                (Err(Error::DatasetNotFound(_)), _) => {}
                (Err(error), _) => self.unread.push((format!("{prefix}{name}"), error)),
            }
        }
        Ok((groups, datasets))
    }
}

/// The names of all links of a group, wherever they lead.
fn names(file: &Hdf5File, group: &Group) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for message in &file.get_or_parse_header(group.address())?.messages {
        match message {
            HdfMessage::SymbolTable(table) => names.extend(old_names(group, table)?),
            HdfMessage::Link(link) => names.push(link.name.clone()),
            HdfMessage::LinkInfo(info) => names.extend(heap_names(group, info)?),
            _ => {}
        }
    }
    Ok(names)
}

/// The names in the symbol table of a group as HDF5 wrote it before version 1.8.
fn old_names(group: &Group, table: &SymbolTableMessage) -> Result<Vec<String>> {
    let (storage, offset, length) = (group.storage(), group.offset_size(), group.length_size());
    let heap = local_heap::LocalHeap::parse_at_storage(storage, table.heap_address, offset, length)?;
    let leaves = btree_v1::collect_btree_v1_leaves_storage(
        storage,
        table.btree_address,
        offset,
        length,
        None,
        &[],
        None,
    )?;
    let mut names = Vec::new();
    for (_, address) in leaves {
        // A node has eight bytes of its own and entries of two addresses and 24 bytes, whose number is in bytes 6 and 7.
        let start = storage.read_range(address, 8)?;
        let entries = usize::from(u16::from_le_bytes([start[6], start[7]]));
        let bytes = storage.read_range(address, 8 + entries * (2 * usize::from(offset) + 24))?;
        let node = symbol_table::SymbolTableNode::parse(&mut io::Cursor::new(&bytes), offset, length)?;
        for entry in node.entries {
            names.push(heap.get_string_storage(entry.link_name_offset, storage)?);
        }
    }
    Ok(names)
}

/// The names of a group's links that are in a heap, as in groups of many members.
fn heap_names(group: &Group, info: &LinkInfoMessage) -> Result<Vec<String>> {
    let (storage, offset, length) = (group.storage(), group.offset_size(), group.length_size());
    if io::Cursor::is_undefined_offset(info.fractal_heap_address, offset) {
        return Ok(Vec::new());
    }
    let heap =
        fractal_heap::FractalHeap::parse_at_storage(storage, info.fractal_heap_address, offset, length)?;
    let index = info.btree_name_index_address;
    let index = btree_v2::BTreeV2Header::parse_at_storage(storage, index, offset, length)?;
    let records =
        btree_v2::collect_btree_v2_records_storage(storage, &index, offset, length, None, &[], None)?;
    let heap_ids = records.iter().filter_map(|record| match record {
        btree_v2::BTreeV2Record::LinkNameHash { heap_id, .. } => Some(heap_id),
        _ => None,
    });
    let links = heap_ids.map(|heap_id| {
        let bytes = heap.get_object_storage(heap_id, storage, offset, length)?;
        messages::link::parse(&mut io::Cursor::new(&bytes), offset, length, bytes.len())
    });
    links.map(|link| Ok(link?.name)).collect()
}

use crate::LeaseId;
use crate::table::arena::{Arena, Cell};

/// What stands in a node before the bytes of its item.
pub(super) struct Head {
    pub(super) lease: LeaseId,
    // Invariant: ends with `None`.
    pub(super) next: Option<Cell>,
    pub(super) before: Before,
}

/// What is before a node in the list of its lease.
#[derive(Clone, Copy)]
pub(super) enum Before {
    Node(Cell),
    /// Nothing: it is the first of so many.
    Start(u32),
}

// Where the fields of a head lie in a cell. The lease's id is not zero, which marks the cell as one
// in use.
const NEXT: usize = 8;
const BEFORE: usize = 12;
const LEN: usize = 16;
const HEAD: usize = 20;

/// Instead of a cell, whose numbers have 31 bits.
const NONE: u32 = u32::MAX;

/// Tells the first of a list, which has its length instead of a cell.
const START: u32 = 1 << 31;

/// A new node with this item, to be [linked](set_head) at once.
pub(super) fn add(arena: &mut Arena, item: &[u8]) -> Cell {
    let node = arena.take(HEAD + item.len());
    let memory = arena.get_mut(node);
    memory[HEAD..HEAD + item.len()].copy_from_slice(item);
    write(memory, LEN, item.len() as u32);
    node
}

#[inline]
pub(super) fn item(arena: &Arena, node: Cell) -> &[u8] {
    let memory = arena.get(node);
    &memory[HEAD..HEAD + read(memory, LEN) as usize]
}

#[inline]
pub(super) fn lease(arena: &Arena, node: Cell) -> LeaseId {
    lease_in(arena.get(node))
}

#[inline]
pub(super) fn head(arena: &Arena, node: Cell) -> Head {
    let memory = &arena.get(node)[..HEAD];
    let next = read(memory, NEXT);
    Head {
        lease: lease_in(memory),
        next: (next != NONE).then_some(Cell::from_bits(next)),
        before: Before::from_bits(read(memory, BEFORE)),
    }
}

pub(super) fn set_head(arena: &mut Arena, node: Cell, head: &Head) {
    let memory = arena.get_mut(node);
    memory[..NEXT].copy_from_slice(&head.lease.get().to_ne_bytes());
    write(memory, NEXT, head.next.map_or(NONE, Cell::to_bits));
    write(memory, BEFORE, head.before.to_bits());
}

pub(super) fn set_next(arena: &mut Arena, node: Cell, next: Option<Cell>) {
    write(arena.get_mut(node), NEXT, next.map_or(NONE, Cell::to_bits));
}

pub(super) fn set_before(arena: &mut Arena, node: Cell, before: Before) {
    write(arena.get_mut(node), BEFORE, before.to_bits());
}

/// How many items the list has that begins with this node.
#[inline]
pub(super) fn len_from(arena: &Arena, first: Cell) -> u32 {
    match head(arena, first).before {
        Before::Start(len) => len,
        Before::Node(_) => unreachable!("nothing is before the first node"),
    }
}

impl Before {
    const fn from_bits(bits: u32) -> Self {
        if bits & START == 0 {
            Self::Node(Cell::from_bits(bits))
        } else {
            Self::Start(bits & !START)
        }
    }

    const fn to_bits(self) -> u32 {
        match self {
            Self::Node(node) => node.to_bits(),
            Self::Start(len) => len | START,
        }
    }
}

fn lease_in(memory: &[u8]) -> LeaseId {
    let id = memory.first_chunk().copied().map(i64::from_ne_bytes);
    id.and_then(LeaseId::new)
        .expect("every node was given to a lease")
}

fn read(memory: &[u8], field: usize) -> u32 {
    let bytes = memory[field..].first_chunk().copied();
    bytes.map_or(NONE, u32::from_ne_bytes)
}

fn write(memory: &mut [u8], field: usize, value: u32) {
    memory[field..field + 4].copy_from_slice(&value.to_ne_bytes());
}

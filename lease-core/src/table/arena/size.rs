/// The most that cells which share a page take together.
pub(super) const PAGE_BYTES: usize = if cfg!(madsim) { 256 } else { 12 * 1024 };

/// The smallest cell.
const MIN_CELL: usize = 20;

/// The largest cell that shares a page.
pub(super) const MAX_SHARED: usize = if cfg!(madsim) { 85 } else { 4096 };

/// Sizes up to here are multiples of [`STEP`]; above, eight sizes lie between powers of two.
const FINE: usize = 128;
const STEP: usize = 4;
const FINE_CLASSES: usize = (FINE - MIN_CELL) / STEP + 1;

/// The class of the smallest cells with room for `len` bytes; `None` if such a cell shares no page.
pub(super) const fn class_of(len: usize) -> Option<usize> {
    if len <= MIN_CELL {
        return Some(0);
    }
    if len <= FINE {
        return Some((len - MIN_CELL).div_ceil(STEP));
    }
    if len > MAX_SHARED {
        return None;
    }
    // The three bits behind the highest one of `last` choose among eight sizes.
    let last = len - 1;
    let exponent = last.ilog2() as usize;
    let eighth = last >> (exponent - 3) & 7;
    Some(FINE_CLASSES + (exponent - FINE.ilog2() as usize) * 8 + eighth)
}

pub(super) const fn size_of_class(class: usize) -> usize {
    if class < FINE_CLASSES {
        return MIN_CELL + class * STEP;
    }
    let coarse = class - FINE_CLASSES;
    let exponent = FINE.ilog2() as usize + coarse / 8;
    (8 + coarse % 8 + 1) << (exponent - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_room_and_wastes_little() {
        let mut last = 0;
        for len in 1..=MAX_SHARED {
            let class = class_of(len).expect("shared");
            let size = size_of_class(class);
            assert!(size >= len && class >= last, "{len}");
            assert!(class == 0 || size_of_class(class - 1) < len, "{len}");
            let waste = size - len;
            assert!(len < MIN_CELL || waste < STEP || (len > FINE && waste * 8 < len));
            last = class;
        }
        assert_eq!(class_of(MAX_SHARED + 1), None);
        assert!(last < 128, "each has its bit");
        assert!(
            (last + 1) * PAGE_BYTES < 1 << 20,
            "one page of each is little"
        );
    }
}

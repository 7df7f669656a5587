use std::sync::Arc;

/// The bytes of a disk, in pages. A copy shares the pages, and one that nobody has written takes no
/// memory: a store is a megabyte of mostly nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    /// A page that is not there is zeros. Invariant: they are as many as hold `len` bytes, and what
    /// the last one has behind them is zero.
    pages: Vec<Option<Arc<[u8]>>>,
    len: usize,
}

/// What redb writes at a time, mostly.
const PAGE: usize = 4096;

impl Image {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE), None);
        if len < self.len
            && !len.is_multiple_of(PAGE)
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[len % PAGE..].fill(0);
        }
        self.len = len;
    }

    /// Writes past the end make the image longer, as with files. O(pages that are touched), and a
    /// whole page is not copied.
    pub(super) fn write(&mut self, offset: usize, data: &Arc<[u8]>) {
        let end = offset + data.len();
        if self.len < end {
            self.set_len(end);
        }
        if data.len() == PAGE && offset.is_multiple_of(PAGE) {
            self.pages[offset / PAGE] = Some(Arc::clone(data));
            return;
        }
        for part in parts(offset, data.len()) {
            let page = self.pages[part.page].get_or_insert_with(|| Arc::from([0; PAGE]));
            let data = &data[part.at..][..part.len];
            Arc::make_mut(page)[part.start..][..part.len].copy_from_slice(data);
        }
    }

    /// Returns whether there is so much to read.
    #[must_use]
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        if offset.saturating_add(out.len()) > self.len {
            return false;
        }
        for part in parts(offset, out.len()) {
            let out = &mut out[part.at..][..part.len];
            match &self.pages[part.page] {
                Some(page) => out.copy_from_slice(&page[part.start..][..part.len]),
                None => out.fill(0),
            }
        }
        true
    }

    /// Takes over the length of another image, and some of its bytes with the rest of their pages: of each
    /// place it says the offset and the length.
    pub(super) fn share(&mut self, other: &Self, places: &[(usize, usize)]) {
        self.set_len(other.len);
        for (offset, len) in places {
            for Part { page, .. } in parts(*offset, *len) {
                self.pages[page].clone_from(&other.pages[page]);
            }
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        assert!(self.read(0, &mut bytes), "so long it is");
        bytes
    }
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        let mut image = Self::default();
        image.write(0, &Arc::from(bytes));
        image
    }
}

/// What some bytes have in common with a page: from where in it, from where in them, and how much.
struct Part {
    page: usize,
    start: usize,
    at: usize,
    len: usize,
}

fn parts(offset: usize, len: usize) -> impl Iterator<Item = Part> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (page, start) = ((offset + at) / PAGE, (offset + at) % PAGE);
        let part = Part {
            page,
            start,
            at,
            len: (len - at).min(PAGE - start),
        };
        at += part.len;
        (part.len > 0).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Prng;
    use super::*;

    /// The naive model of an image is a vector.
    #[test]
    fn an_image_holds_what_a_vector_does_and_a_copy_stays_as_it_was() {
        let mut random = Prng::new(1);
        let (mut image, mut model) = (Image::default(), Vec::new());
        for step in 0..2_000_u64 {
            let (copy, before) = (image.clone(), model.clone());
            let (offset, len) = place(&mut random);
            if random.one_in(8) {
                image.set_len(offset);
                model.resize(offset, 0);
            } else {
                let data: Arc<[u8]> = vec![step as u8 | 1; len].into();
                image.write(offset, &data);
                model.resize(model.len().max(offset + len), 0);
                model[offset..offset + len].copy_from_slice(&data);
            }
            assert_eq!(image.to_vec(), model, "step {step}");
            assert_eq!(copy.to_vec(), before, "step {step}");
            let (offset, len) = place(&mut random);
            let mut out = vec![7; len];
            let is_there = offset + len <= model.len();
            assert_eq!(image.read(offset, &mut out), is_there, "step {step}");
            if is_there {
                assert_eq!(out, model[offset..offset + len], "step {step}");
            }
        }
        assert_eq!(Image::from(model.clone()).to_vec(), model);
    }

    #[test]
    fn bytes_are_shared_with_the_rest_of_their_pages() {
        let (mut one, other) = (
            Image::from(vec![1; 3 * PAGE]),
            Image::from(vec![2; 3 * PAGE]),
        );
        one.share(&other, &[(PAGE - 1, 2)]);
        let expected = [vec![2; 2 * PAGE], vec![1; PAGE]].concat();
        assert_eq!(one.to_vec(), expected);
    }

    /// Within some pages, and at the borders of them as often as not.
    fn place(random: &mut Prng) -> (usize, usize) {
        let mut number = |limit: u64| match random.one_in(2) {
            true => random.below(limit) as usize * PAGE,
            false => random.below(limit * PAGE as u64) as usize,
        };
        (number(5), number(3))
    }
}

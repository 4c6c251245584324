//! Doubly linked lists through the elements of a vector: any element leaves its list at once.

/// A list, as positions of its ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) first: Option<u32>,
    last: Option<u32>,
}

/// An element's neighbours in a list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Links {
    before: Option<u32>,
    after: Option<u32>,
}

/// Selects the links of one list in an element.
pub(super) type Select<E> = fn(&mut E) -> &mut Links;

impl List {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Appends the element at `at`, which must be in no list with these links.
    pub(super) fn push<E>(&mut self, elements: &mut [E], links: Select<E>, at: u32) {
        *links(&mut elements[at as usize]) = Links { before: self.last, after: None };
        match self.last {
            Some(last) => links(&mut elements[last as usize]).after = Some(at),
            None => self.first = Some(at),
        }
        self.last = Some(at);
    }

    /// Removes the element at `at`, which must be in this list.
    pub(super) fn remove<E>(&mut self, elements: &mut [E], links: Select<E>, at: u32) {
        let Links { before, after } = std::mem::take(links(&mut elements[at as usize]));
        match before {
            Some(before) => links(&mut elements[before as usize]).after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => links(&mut elements[after as usize]).before = before,
            None => self.last = before,
        }
    }
}

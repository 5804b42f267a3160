//! Changing a collection in place: what must be told of the change, and that a collection which lost its last element
//! takes its key with it.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use respire_datatypes::collection::{Collection, Kind};
use respire_keyspace::EntryMut;

use crate::error::Error;

/// A collection under its key, to be changed.
pub(crate) struct Editing<'a, T: Kind> {
    /// `None` once the key is deleted.
    entry: Option<EntryMut<'a>>,
    /// When the first element expired, before the change.
    due: Option<i64>,
    kind: PhantomData<T>,
}

/// What became of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The collection was empty, and its key is deleted.
    pub(crate) removed: bool,
}

impl<'a, T: Kind> Editing<'a, T> {
    #[inline]
    pub(crate) fn new(mut entry: EntryMut<'a>) -> Result<Self, Error> {
        if entry.collection_mut().and_then(T::of_mut).is_none() {
            return Err(Error::WRONG_TYPE);
        }
        let due = entry.next_due();
        Ok(Self { entry: Some(entry), due, kind: PhantomData })
    }

    /// Ends the change: deletes the key of a collection that is empty, and tells the watchers if it `changed`.
    #[inline]
    pub(crate) fn finish(mut self, changed: bool) -> Finished {
        let removed = self.is_gone();
        if let Some(mut entry) = self.entry.take() {
            entry.retime(self.due);
            match (removed, changed) {
                (true, true) => entry.remove(),
                (true, false) => entry.remove_unseen(),
                (false, true) => entry.changed(),
                (false, false) => {}
            }
        }
        Finished { removed }
    }

    fn is_gone(&self) -> bool {
        let collection = self.entry.as_ref().and_then(|entry| entry.get().collection());
        collection.is_some_and(Collection::is_gone)
    }
}

impl<T: Kind> Deref for Editing<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        let entry = self.entry.as_ref().expect("present until finished");
        entry.get().collection().and_then(T::of).expect("checked when made")
    }
}

impl<T: Kind> DerefMut for Editing<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        let entry = self.entry.as_mut().expect("present until finished");
        entry.collection_mut().and_then(T::of_mut).expect("checked when made")
    }
}

impl<T: Kind> Drop for Editing<'_, T> {
    /// A command that ends in an error leaves no empty collection behind.
    fn drop(&mut self) {
        let gone = self.is_gone();
        if let Some(mut entry) = self.entry.take() {
            entry.retime(self.due);
            if gone {
                entry.remove_unseen();
            }
        }
    }
}

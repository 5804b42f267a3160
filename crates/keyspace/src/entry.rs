//! One key with its value in one allocation.
//!
//! Layout, all fields unaligned but the first:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | access data (LRU clock or LFU counter), atomic: readers write it under a shared lock |
//! | 1 | where the value is ([`Store`]) |
//! | 1 | flags |
//! | 1 + 1 | lengths of key and inline value, when both are below 256 |
//! | 4 + 4 | the two lengths, when flag `WIDE` is set |
//! | 8 | expiry, Unix time in milliseconds, when flag `EXPIRES` is set |
//! | … | the key |
//! | … | the value: its bytes, or 8 bytes of integer, or an 8-byte pointer to a shared string or a collection |
//!
//! This module is one of the few with `unsafe`: an [`Entry`] is a raw pointer, owned by the table that it hangs in.
//! Everything else sees [`EntryRef`], whose lifetime is that of the table's borrow.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use respire_datatypes::buffer::handed_out;
use respire_datatypes::collection::Collection;
use respire_datatypes::table::{Word, prefetch};

/// Longest string kept inside its entry, bytes.
pub const INLINE_MAX: usize = 4096;
/// The longest string that Redis calls `embstr`.
const EMBSTR_MAX: usize = 44;

const EXPIRES: u8 = 1;
const WIDE: u8 = 2;
/// The string was modified in place, which Redis shows as encoding `raw`.
const MODIFIED: u8 = 4;
/// The snapshot under way needs nothing more of this entry, though its walk has not come to it: see `snapshot.rs`.
const MARKED: u8 = 8;

const HEADER: usize = 8;

/// Where the value of an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Store {
    Inline = 0,
    Int = 1,
    Heap = 2,
    Collection = 3,
}

/// A value, or what is left of one, outside of its entry.
#[derive(Debug)]
pub enum Heap {
    String(Arc<Vec<u8>>),
    Collection(Box<Collection>),
}

impl Heap {
    /// Whether freeing it takes long enough to be left to another thread.
    pub(crate) fn is_large(&self) -> bool {
        match self {
            Self::String(data) => data.capacity() >= GARBAGE_BYTES,
            Self::Collection(collection) => {
                collection.effort() > GARBAGE_PARTS || collection.memory() >= GARBAGE_BYTES
            }
        }
    }
}

/// Bytes from which a value is freed off the caller's thread.
const GARBAGE_BYTES: usize = 256 * 1024;
/// Allocations above which a value is freed off the caller's thread.
const GARBAGE_PARTS: usize = 64;

/// A value to be stored. `Modified` is a string changed in place, which only `OBJECT ENCODING` tells apart.
#[derive(Debug)]
pub enum NewValue<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Modified(&'a [u8]),
    Shared(Arc<Vec<u8>>),
    Collection(Box<Collection>),
}

/// A copy of a value, or one taken out of the keyspace.
#[derive(Debug, Clone)]
pub enum Value {
    Int(i64),
    Bytes { data: Vec<u8>, modified: bool },
    Shared(Arc<Vec<u8>>),
    Collection(Box<Collection>),
}

impl Value {
    /// Calls `store` with the same value, to be stored under another key.
    pub fn store<R>(self, store: impl FnOnce(NewValue<'_>) -> R) -> R {
        match self {
            Self::Int(value) => store(NewValue::Int(value)),
            Self::Bytes { data, modified: false } => store(NewValue::Bytes(&data)),
            Self::Bytes { data, modified: true } => store(NewValue::Modified(&data)),
            Self::Shared(data) => store(NewValue::Shared(data)),
            Self::Collection(collection) => store(NewValue::Collection(collection)),
        }
    }
}

/// A string looked at in place.
#[derive(Debug, Clone, Copy)]
pub enum StrRef<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl StrRef<'_> {
    /// Calls `f` with the string as text.
    #[inline]
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Int(value) => {
                let mut text = [0u8; 20];
                f(decimal(*value, &mut text))
            }
            Self::Bytes(data) => f(data),
        }
    }

    /// The length of the string as text, bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(value) => decimal(*value, &mut [0u8; 20]).len(),
            Self::Bytes(data) => data.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Decimal text of `value`, written to the end of `text`.
fn decimal(value: i64, text: &mut [u8; 20]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        text[at] = b'-';
    }
    &text[at..]
}

/// A handle to an entry: a raw pointer, as the table stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(NonNull<u8>);

// SAFETY: an entry is plain memory without ties to a thread; the shard's lock orders all access to it.
unsafe impl Send for Entry {}

/// What an entry's bytes mean, read from its header once.
#[derive(Clone, Copy)]
struct Shape {
    store: Store,
    flags: u8,
    key_len: usize,
    /// Bytes that the value takes inside the entry.
    value_len: usize,
}

impl Shape {
    fn new(key_len: usize, value: &NewValue<'_>, expires: bool) -> Self {
        let (store, value_len, modified) = match value {
            NewValue::Int(_) => (Store::Int, 8, false),
            NewValue::Bytes(data) if data.len() <= INLINE_MAX => (Store::Inline, data.len(), false),
            NewValue::Modified(data) if data.len() <= INLINE_MAX => {
                (Store::Inline, data.len(), true)
            }
            NewValue::Collection(_) => (Store::Collection, 8, false),
            _ => (Store::Heap, 8, false),
        };
        let mut flags = 0;
        if expires {
            flags |= EXPIRES;
        }
        if modified {
            flags |= MODIFIED;
        }
        if key_len > 255 || value_len > 255 {
            flags |= WIDE;
        }
        Self { store, flags, key_len, value_len }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn expire_at(&self) -> usize {
        HEADER + if self.has(WIDE) { 8 } else { 0 }
    }

    fn key_at(&self) -> usize {
        self.expire_at() + if self.has(EXPIRES) { 8 } else { 0 }
    }

    fn value_at(&self) -> usize {
        self.key_at() + self.key_len
    }

    fn layout(&self) -> Layout {
        let size = size_class(self.value_at() + self.value_len);
        Layout::from_size_align(size, 8).expect("entry sizes are far below isize::MAX")
    }
}

/// Rounds up to what the allocator hands out anyway (jemalloc's classes with a quantum of 8), so that a value can be
/// replaced in place whenever the new one fits the same class.
fn size_class(size: usize) -> usize {
    let step = match size {
        0..=64 => 8,
        65..=128 => 16,
        129..=256 => 32,
        257..=512 => 64,
        513..=1024 => 128,
        1025..=2048 => 256,
        2049..=4096 => 512,
        _ => 1024,
    };
    size.next_multiple_of(step)
}

impl Entry {
    pub(crate) fn new(key: &[u8], value: NewValue<'_>, expire: Option<i64>, access: u32) -> Self {
        assert!(key.len() < u32::MAX as usize, "keys are limited by the protocol");
        let shape = Shape::new(key.len(), &value, expire.is_some());
        let layout = shape.layout();
        // SAFETY: the layout's size is at least HEADER, not zero.
        let Some(ptr) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let entry = Self(ptr);
        // SAFETY: the allocation is `layout` bytes long and everything written lies inside, as `shape` computes it.
        unsafe {
            ptr.cast::<u32>().write(access);
            entry.write_head(shape);
            if let Some(at) = expire {
                ptr.add(shape.expire_at()).cast::<i64>().write_unaligned(at);
            }
            let target = ptr.add(shape.key_at());
            target.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            entry.write_value(shape, value);
        }
        entry
    }

    /// # Safety
    /// The allocation must have room for the shape's header.
    unsafe fn write_head(self, shape: Shape) {
        // SAFETY: the header is part of every allocation; the wide lengths are part of it when WIDE is set.
        unsafe {
            self.0.add(4).write(shape.store as u8);
            self.0.add(5).write(shape.flags);
            if shape.has(WIDE) {
                self.0.add(HEADER).cast::<u32>().write_unaligned(shape.key_len as u32);
                self.0.add(HEADER + 4).cast::<u32>().write_unaligned(shape.value_len as u32);
            } else {
                self.0.add(6).write(shape.key_len as u8);
                self.0.add(7).write(shape.value_len as u8);
            }
        }
    }

    /// # Safety
    /// The allocation must be laid out as `shape`, made for this `value`, and hold no value that needs dropping.
    unsafe fn write_value(self, shape: Shape, value: NewValue<'_>) {
        // SAFETY: `shape` was computed from `value`, so that there is room for it at `value_at`.
        unsafe {
            let at = self.0.add(shape.value_at());
            match value {
                NewValue::Int(value) => at.cast::<i64>().write_unaligned(value),
                NewValue::Bytes(data) | NewValue::Modified(data)
                    if shape.store == Store::Inline =>
                {
                    at.copy_from_nonoverlapping(NonNull::from(data).cast(), data.len());
                }
                NewValue::Bytes(data) | NewValue::Modified(data) => {
                    let raw = Arc::into_raw(Arc::new(data.to_vec()));
                    at.cast::<*const Vec<u8>>().write_unaligned(raw);
                }
                NewValue::Shared(data) => {
                    at.cast::<*const Vec<u8>>().write_unaligned(Arc::into_raw(data));
                }
                NewValue::Collection(value) => {
                    at.cast::<*mut Collection>().write_unaligned(Box::into_raw(value));
                }
            }
        }
    }

    fn shape(self) -> Shape {
        // SAFETY: a handle in circulation points to a live, initialised entry.
        unsafe {
            let store = match self.0.add(4).read() {
                0 => Store::Inline,
                1 => Store::Int,
                2 => Store::Heap,
                _ => Store::Collection,
            };
            let flags = self.0.add(5).read();
            let (key_len, value_len) = if flags & WIDE != 0 {
                let lens = self.0.add(HEADER).cast::<u32>();
                (lens.read_unaligned() as usize, lens.add(1).read_unaligned() as usize)
            } else {
                (self.0.add(6).read() as usize, self.0.add(7).read() as usize)
            };
            Shape { store, flags, key_len, value_len }
        }
    }

    /// The word of a table that holds the entry.
    #[inline]
    pub(crate) fn word(self, tag: u16) -> Word {
        Word::new(tag, self.0)
    }

    /// Begins to load the entry's header, and a key of common length, into the cache.
    #[inline]
    pub(crate) fn prefetch(self) {
        prefetch(self.0.as_ptr());
        prefetch(self.0.as_ptr().wrapping_add(31));
    }

    /// The entry that a word of one of the keyspace's tables holds.
    #[inline]
    pub(crate) fn in_word(word: Word) -> Self {
        Self(word.entry())
    }

    /// # Safety
    /// The entry must be alive, and not changed or freed, for all of `'a`.
    #[inline]
    pub(crate) unsafe fn as_ref<'a>(self) -> EntryRef<'a> {
        EntryRef { entry: self, borrow: PhantomData }
    }

    /// Writes a string over one of the same form and length, which needs nothing else. Returns whether it was such.
    ///
    /// # Safety
    /// The caller must have the only access to the entry.
    #[inline]
    pub(crate) unsafe fn rewrite(self, value: &NewValue<'_>) -> bool {
        let old = self.shape();
        match (old.store, value) {
            // A counter, as often as not.
            (Store::Int, NewValue::Int(value)) => {
                // SAFETY: an integer lies there already, and the caller has the only access.
                unsafe { self.0.add(old.value_at()).cast::<i64>().write_unaligned(*value) }
                true
            }
            (Store::Inline, NewValue::Bytes(data))
                if data.len() == old.value_len && !old.has(MODIFIED) =>
            {
                // SAFETY: as many bytes lie there already, and the caller has the only access.
                unsafe {
                    let at = self.0.add(old.value_at());
                    at.copy_from_nonoverlapping(NonNull::from(*data).cast(), data.len());
                }
                true
            }
            _ => false,
        }
    }

    /// Replaces the value, without moving the entry, if the new one fits the allocation. Gives the value back if not.
    ///
    /// # Safety
    /// The caller must have the only access to the entry.
    pub(crate) unsafe fn try_overwrite<'v>(
        self,
        value: NewValue<'v>,
    ) -> Result<Option<Heap>, NewValue<'v>> {
        let old = self.shape();
        let mut new = Shape::new(old.key_len, &value, old.has(EXPIRES));
        new.flags |= old.flags & MARKED;
        if old.has(WIDE) != new.has(WIDE) || old.layout() != new.layout() {
            return Err(value);
        }
        // SAFETY: the key stays where it is, since WIDE and EXPIRES are unchanged, and the layouts are the same.
        unsafe {
            let heap = self.take_heap(old);
            self.write_head(new);
            self.write_value(new, value);
            Ok(heap)
        }
    }

    /// # Safety
    /// The heap value must not be used through this entry again.
    #[inline]
    unsafe fn take_heap(self, shape: Shape) -> Option<Heap> {
        // SAFETY: the place for the value is inside the entry. A heap string is a pointer from `Arc::into_raw`, of which
        // the entry owns one count; a collection is one from `Box::into_raw`.
        unsafe {
            let at = self.0.add(shape.value_at());
            match shape.store {
                Store::Inline | Store::Int => None,
                Store::Heap => {
                    let raw = at.cast::<*const Vec<u8>>().read_unaligned();
                    Some(Heap::String(Arc::from_raw(raw)))
                }
                Store::Collection => {
                    let raw = at.cast::<*mut Collection>().read_unaligned();
                    Some(Heap::Collection(Box::from_raw(raw)))
                }
            }
        }
    }

    /// The heap string, to be changed in place. `None` if the value is not one.
    ///
    /// # Safety
    /// The caller must have the only access to the entry for all of `'a`.
    pub(crate) unsafe fn heap_mut<'a>(self) -> Option<&'a mut Vec<u8>> {
        let shape = self.shape();
        // SAFETY: the Arc is taken out and put back, so that its count stays right; `make_mut` moves it to a new
        // allocation if a reply still shares it.
        unsafe {
            if shape.store != Store::Heap {
                return None;
            }
            let Some(Heap::String(mut heap)) = self.take_heap(shape) else { return None };
            Arc::make_mut(&mut heap);
            let raw = Arc::into_raw(heap).cast_mut();
            self.0.add(shape.value_at()).cast::<*const Vec<u8>>().write_unaligned(raw);
            Some(&mut *raw)
        }
    }

    /// The collection, to be changed in place. `None` if the value is a string.
    ///
    /// # Safety
    /// The caller must have the only access to the entry for all of `'a`.
    #[inline]
    pub(crate) unsafe fn collection_mut<'a>(self) -> Option<&'a mut Collection> {
        let shape = self.shape();
        if shape.store != Store::Collection {
            return None;
        }
        // SAFETY: a collection's pointer comes from `Box::into_raw`, and the entry owns it.
        unsafe {
            let raw = self.0.add(shape.value_at()).cast::<*mut Collection>().read_unaligned();
            Some(&mut *raw)
        }
    }

    /// Takes the collection out; an integer stays in its place. `None` if the value is a string.
    ///
    /// # Safety
    /// The caller must have the only access to the entry.
    pub(crate) unsafe fn take_collection(self) -> Option<Box<Collection>> {
        let mut shape = self.shape();
        if shape.store != Store::Collection {
            return None;
        }
        // SAFETY: the pointer is overwritten by an integer of the same size as soon as it is taken.
        unsafe {
            let Some(Heap::Collection(collection)) = self.take_heap(shape) else { return None };
            shape.store = Store::Int;
            self.write_head(shape);
            self.0.add(shape.value_at()).cast::<i64>().write_unaligned(0);
            Some(collection)
        }
    }

    /// The same key, value and access data in a new entry with another expiry; this one is freed.
    ///
    /// # Safety
    /// The caller must have the only access to the entry, and this handle must not be used again.
    pub(crate) unsafe fn with_expire(self, expire: Option<i64>) -> Self {
        let old = self.shape();
        let mut new = old;
        new.flags = old.flags & !EXPIRES | if expire.is_some() { EXPIRES } else { 0 };
        let layout = new.layout();
        // SAFETY: as in `new`. What lies behind the expiry, key and value with its pointer, moves over as it is, so that
        // the new entry owns what the old one did.
        unsafe {
            let Some(ptr) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            let entry = Self(ptr);
            ptr.cast::<u32>().write(self.as_ref().access());
            entry.write_head(new);
            if let Some(at) = expire {
                ptr.add(new.expire_at()).cast::<i64>().write_unaligned(at);
            }
            let from = self.0.add(old.key_at());
            ptr.add(new.key_at()).copy_from_nonoverlapping(from, old.key_len + old.value_len);
            dealloc(self.0.as_ptr(), old.layout());
            entry
        }
    }

    /// The same in a new allocation; this one is freed.
    ///
    /// # Safety
    /// The caller must have the only access to the entry, and this handle must not be used again.
    pub(crate) unsafe fn moved(self) -> Self {
        let layout = self.shape().layout();
        // SAFETY: both allocations have the layout, and what the entry owns through a pointer goes over with its bytes.
        unsafe {
            let Some(ptr) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            ptr.copy_from_nonoverlapping(self.0, layout.size());
            dealloc(self.0.as_ptr(), layout);
            Self(ptr)
        }
    }

    pub(crate) fn address(self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Puts a value that is not in the entry itself into new allocations. One that a reply shares stays where it is, and so
    /// does a large collection.
    ///
    /// # Safety
    /// The caller must have the only access to the entry.
    pub(crate) unsafe fn renew_heap(self) {
        let shape = self.shape();
        // SAFETY: what is taken out is put back, in the same form.
        unsafe {
            let at = self.0.add(shape.value_at());
            match self.take_heap(shape) {
                None => {}
                Some(Heap::String(mut text)) => {
                    if let Some(bytes) = Arc::get_mut(&mut text) {
                        text = Arc::new(bytes.clone());
                    }
                    at.cast::<*const Vec<u8>>().write_unaligned(Arc::into_raw(text));
                }
                Some(Heap::Collection(mut collection)) => {
                    if !collection.compacts_in_steps() {
                        collection = Box::new((*collection).clone());
                    }
                    at.cast::<*mut Collection>().write_unaligned(Box::into_raw(collection));
                }
            }
        }
    }

    /// Changes the time of an entry that expires.
    ///
    /// # Safety
    /// The caller must have the only access to the entry, and the entry must have an expiry.
    pub(crate) unsafe fn set_expire(self, at: i64) {
        let shape = self.shape();
        assert!(shape.has(EXPIRES));
        // SAFETY: the field is there, as asserted.
        unsafe { self.0.add(shape.expire_at()).cast::<i64>().write_unaligned(at) }
    }

    /// Marks the entry, or takes the mark away.
    ///
    /// # Safety
    /// The caller must have the only access to the entry.
    pub(crate) unsafe fn mark(self, marked: bool) {
        let flags = self.shape().flags & !MARKED | if marked { MARKED } else { 0 };
        // SAFETY: the flags are part of every header.
        unsafe { self.0.add(5).write(flags) }
    }

    /// Frees the entry; gives its heap value back, so that the caller decides where a large one is freed.
    ///
    /// # Safety
    /// The handle, and all its copies, must not be used again.
    pub(crate) unsafe fn free(self) -> Option<Heap> {
        let shape = self.shape();
        // SAFETY: the layout is the one that the entry was allocated with: in-place changes keep it.
        unsafe {
            let heap = self.take_heap(shape);
            dealloc(self.0.as_ptr(), shape.layout());
            heap
        }
    }
}

/// An entry looked at under its shard's lock.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    entry: Entry,
    borrow: PhantomData<&'a u8>,
}

impl<'a> EntryRef<'a> {
    /// Calls `each` with the addresses of the blocks that the value has besides the entry.
    pub(crate) fn blocks(self, mut each: impl FnMut(usize)) {
        // What has no memory yet has an address that is none.
        const LEAST: usize = 4096;
        let mut each = |address: usize| {
            if address >= LEAST {
                each(address);
            }
        };
        if let Some(text) = self.share() {
            each(Arc::as_ptr(&text).addr());
            each(text.as_ptr().addr());
        }
        if let Some(collection) = self.collection() {
            each(std::ptr::from_ref(collection).addr());
            collection.blocks(each);
        }
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        let shape = self.entry.shape();
        // SAFETY: the key lies inside the live entry for all of `'a`.
        unsafe {
            let at = self.entry.0.add(shape.key_at());
            std::slice::from_raw_parts(at.as_ptr(), shape.key_len)
        }
    }

    #[inline]
    pub fn is_string(self) -> bool {
        self.entry.shape().store != Store::Collection
    }

    /// The string; `None` if the value is a collection.
    #[inline]
    pub fn string(self) -> Option<StrRef<'a>> {
        let shape = self.entry.shape();
        // SAFETY: the value lies inside the live entry for all of `'a`; a heap value lives as long as the entry's count.
        unsafe {
            let at = self.entry.0.add(shape.value_at());
            Some(match shape.store {
                Store::Inline => {
                    StrRef::Bytes(std::slice::from_raw_parts(at.as_ptr(), shape.value_len))
                }
                Store::Int => StrRef::Int(at.cast::<i64>().read_unaligned()),
                Store::Heap => StrRef::Bytes(&*at.cast::<*const Vec<u8>>().read_unaligned()),
                Store::Collection => return None,
            })
        }
    }

    /// The collection; `None` if the value is a string.
    #[inline]
    pub fn collection(self) -> Option<&'a Collection> {
        let shape = self.entry.shape();
        if shape.store != Store::Collection {
            return None;
        }
        // SAFETY: a collection's pointer comes from `Box::into_raw`, and lives as long as the entry.
        unsafe {
            Some(&*self.entry.0.add(shape.value_at()).cast::<*const Collection>().read_unaligned())
        }
    }

    /// The heap string with a count of its own, for a reply that outlives the lock; `None` if the value is not one.
    pub fn share(self) -> Option<Arc<Vec<u8>>> {
        let shape = self.entry.shape();
        if shape.store != Store::Heap {
            return None;
        }
        // SAFETY: as in `take_heap`, but the entry keeps its count and a new one is made.
        unsafe {
            let raw = self.entry.0.add(shape.value_at()).cast::<*const Vec<u8>>().read_unaligned();
            Arc::increment_strong_count(raw);
            Some(Arc::from_raw(raw))
        }
    }

    /// A copy of the value; heap strings are shared.
    pub fn to_value(self) -> Value {
        if let Some(shared) = self.share() {
            return Value::Shared(shared);
        }
        match (self.string(), self.collection()) {
            (Some(StrRef::Int(value)), _) => Value::Int(value),
            (Some(StrRef::Bytes(data)), _) => {
                Value::Bytes { data: data.to_vec(), modified: self.entry.shape().has(MODIFIED) }
            }
            (None, collection) => {
                let collection = collection.expect("what is not a string is a collection");
                Value::Collection(Box::new(collection.clone()))
            }
        }
    }

    pub(crate) fn is_marked(self) -> bool {
        self.entry.shape().has(MARKED)
    }

    /// When the entry expires, Unix time in milliseconds.
    #[inline]
    pub fn expire(self) -> Option<i64> {
        let shape = self.entry.shape();
        if !shape.has(EXPIRES) {
            return None;
        }
        // SAFETY: the field is there when the flag is set.
        Some(unsafe { self.entry.0.add(shape.expire_at()).cast::<i64>().read_unaligned() })
    }

    /// What TYPE calls the value.
    pub fn type_name(self) -> &'static str {
        self.collection().map_or("string", Collection::type_name)
    }

    /// What OBJECT ENCODING calls the form that the value is kept in.
    pub fn encoding(self) -> &'static str {
        let shape = self.entry.shape();
        match shape.store {
            Store::Int => "int",
            Store::Inline if shape.value_len <= EMBSTR_MAX && !shape.has(MODIFIED) => "embstr",
            Store::Inline | Store::Heap => "raw",
            Store::Collection => self.collection().map_or("", Collection::encoding),
        }
    }

    #[inline]
    fn access_cell(self) -> &'a AtomicU32 {
        // SAFETY: the first four bytes are 8-aligned, live for `'a`, and only ever used as an atomic once published.
        unsafe { AtomicU32::from_ptr(self.entry.0.as_ptr().cast()) }
    }

    /// The access data: an LRU clock or an LFU counter, as the eviction policy has it.
    #[inline]
    pub fn access(self) -> u32 {
        self.access_cell().load(Ordering::Relaxed)
    }

    /// Sets the access data; does not dirty the cache line if there is nothing new.
    #[inline]
    pub fn set_access(self, access: u32) {
        let cell = self.access_cell();
        if cell.load(Ordering::Relaxed) != access {
            cell.store(access, Ordering::Relaxed);
        }
    }

    /// Bytes of memory that the entry holds, its slot in the table not counted.
    pub fn memory(self) -> usize {
        let own = self.entry.shape().layout().size();
        let shared =
            self.share().map_or(0, |heap| handed_out(heap.capacity()) + size_of::<Vec<u8>>() + 16);
        let made = self.collection().map_or(0, |made| made.memory() + size_of::<Collection>());
        own + shared + made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip(key: &[u8], value: &[u8], expire: Option<i64>) {
        let entry = Entry::new(key, NewValue::Bytes(value), expire, 7);
        // SAFETY: the entry is freed once, at the end.
        unsafe {
            let seen = entry.as_ref();
            assert_eq!(seen.key(), key);
            seen.string().unwrap().with_bytes(|bytes| assert_eq!(bytes, value));
            assert_eq!(seen.expire(), expire);
            assert_eq!(seen.access(), 7);
            drop(entry.free());
        }
    }

    #[test]
    fn keeps_what_it_is_given() {
        for key_len in [0, 1, 16, 255, 256, 5000] {
            for value_len in [0, 1, 32, 255, 256, INLINE_MAX, INLINE_MAX + 1, 70_000] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                roundtrip(&key, &value, None);
                roundtrip(&key, &value, Some(i64::MAX));
            }
        }
    }

    #[test]
    fn overwrites_in_place_only_what_fits() {
        let entry = Entry::new(b"0123456789abcdef", NewValue::Bytes(&[1; 32]), None, 0);
        // SAFETY: one owner, freed once.
        unsafe {
            assert!(entry.try_overwrite(NewValue::Bytes(&[2; 30])).is_ok());
            entry.as_ref().string().unwrap().with_bytes(|b| assert_eq!(b, [2; 30]));
            assert!(entry.try_overwrite(NewValue::Bytes(&[3; 100])).is_err());
            assert!(entry.try_overwrite(NewValue::Int(5)).is_err());
            drop(entry.free());
        }
    }

    #[test]
    fn a_sixteen_byte_key_with_thirty_two_bytes_costs_eight_more() {
        let entry = Entry::new(&[0; 16], NewValue::Bytes(&[0; 32]), None, 0);
        // SAFETY: one owner, freed once.
        unsafe {
            assert_eq!(entry.as_ref().memory(), 56);
            drop(entry.free());
        }
    }

    #[test]
    fn a_shared_value_is_copied_only_while_shared() {
        let entry = Entry::new(b"k", NewValue::Shared(Arc::new(vec![1; 9000])), None, 0);
        // SAFETY: one owner, freed once; references end before the next use.
        unsafe {
            let before = entry.heap_mut().unwrap().as_ptr();
            assert_eq!(entry.heap_mut().unwrap().as_ptr(), before);
            let reply = entry.as_ref().share().unwrap();
            entry.heap_mut().unwrap()[0] = 9;
            assert_eq!((reply[0], entry.heap_mut().unwrap()[0]), (1, 9));
            drop(entry.free());
            assert_eq!(Arc::strong_count(&reply), 1);
        }
    }
}

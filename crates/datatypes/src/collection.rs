//! What a key can hold besides a string: one enum over all collection types, so that the keyspace can keep, free and
//! copy them without knowing what they are.

use crate::hashes::Hash;
use crate::list::List;
use crate::set::Set;
use crate::stream::Stream;
use crate::zset::ZSet;

/// A step on the way into a collection. Each reads what the one before has loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// What a small collection consists of, or the head of a large one.
    Content,
    /// The bucket of an element in a table, or what else stands between the head and the elements.
    Bucket,
    Element,
}

/// A collection type.
pub trait Kind: Sized {
    fn of(collection: &Collection) -> Option<&Self>;
    fn of_mut(collection: &mut Collection) -> Option<&mut Self>;
    fn into_collection(self) -> Collection;
}

macro_rules! collections {
    ($($variant:ident($type:ty), $name:literal;)*) => {
        /// A value made of elements.
        #[derive(Debug, Clone)]
        pub enum Collection {
            $($variant($type),)*
        }

        impl Collection {
            /// What TYPE calls it.
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// What OBJECT ENCODING calls the form that it is kept in.
            pub fn encoding(&self) -> &'static str {
                match self { $(Self::$variant(value) => value.encoding(),)* }
            }

            /// Elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(value) => value.len(),)* }
            }

            /// Whether the collection has no elements. The key of one that had some is deleted then, unless it is a
            /// stream.
            pub fn is_empty(&self) -> bool {
                match self { $(Self::$variant(value) => value.is_empty(),)* }
            }

            /// Whether the key of the collection is to be deleted: streams are kept even when they are empty.
            pub fn is_gone(&self) -> bool {
                self.is_empty() && self.type_name() != "stream"
            }

            /// Bytes of memory, this enum not counted.
            pub fn memory(&self) -> usize {
                match self { $(Self::$variant(value) => value.memory(),)* }
            }

            /// How many allocations there are to free, about.
            pub fn effort(&self) -> usize {
                match self { $(Self::$variant(value) => value.effort(),)* }
            }
        }

        impl Collection {
            /// Takes a step towards loading what a command will use into the cache: the element with `hash` if it
            /// is about one.
            #[inline]
            pub fn prefetch(&self, step: Ahead, hash: Option<u64>) {
                match self {
                    Self::List(list) => list.prefetch(step),
                    Self::Set(set) => set.prefetch(step, hash),
                    Self::Hash(fields) => fields.prefetch(step, hash),
                    Self::ZSet(zset) => zset.prefetch(step, hash),
                    Self::Stream(stream) => stream.prefetch(step),
                }
            }

            /// When the first of its elements expires, or did: Unix time in milliseconds.
            #[inline]
            pub fn next_due(&self) -> Option<i64> {
                match self {
                    Self::Hash(hash) => hash.next_due(),
                    _ => None,
                }
            }
        }

        $(
            impl Kind for $type {
                #[inline]
                fn of(collection: &Collection) -> Option<&Self> {
                    #[allow(irrefutable_let_patterns)]
                    if let Collection::$variant(value) = collection { Some(value) } else { None }
                }

                #[inline]
                fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
                    #[allow(irrefutable_let_patterns)]
                    if let Collection::$variant(value) = collection { Some(value) } else { None }
                }

                #[inline]
                fn into_collection(self) -> Collection {
                    Collection::$variant(self)
                }
            }
        )*
    };
}

collections! {
    List(List), "list";
    Set(Set), "set";
    Hash(Hash), "hash";
    ZSet(ZSet), "zset";
    Stream(Stream), "stream";
}

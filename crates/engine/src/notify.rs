//! Keyspace notifications: which classes of events are published, and their letters in `notify-keyspace-events`.

bitflags::bitflags! {
    /// Classes of events, and the channels that they are published to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Classes: u32 {
        const GENERIC = 1;
        const STRING = 1 << 1;
        const LIST = 1 << 2;
        const SET = 1 << 3;
        const HASH = 1 << 4;
        const ZSET = 1 << 5;
        const EXPIRED = 1 << 6;
        const EVICTED = 1 << 7;
        const STREAM = 1 << 8;
        const MODULE = 1 << 9;
        /// A key was created. Not part of `A`.
        const NEW = 1 << 10;
        /// A key was asked for that is not there. Not part of `A`.
        const KEY_MISS = 1 << 11;
        /// To the channel of the key.
        const KEYSPACE = 1 << 12;
        /// To the channel of the event.
        const KEYEVENT = 1 << 13;
    }
}

impl Classes {
    /// Every letter, in the order of Redis's error text.
    pub const LETTERS: &'static str = "Ag$lshzxeKEtmdn";

    /// What `A` stands for.
    const ALL: Self = Self::GENERIC
        .union(Self::STRING)
        .union(Self::LIST)
        .union(Self::SET)
        .union(Self::HASH)
        .union(Self::ZSET)
        .union(Self::EXPIRED)
        .union(Self::EVICTED)
        .union(Self::STREAM)
        .union(Self::MODULE);

    /// The letters of single classes, in the order in which CONFIG GET shows them.
    const SHOWN: [(char, Self); 14] = [
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::ZSET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('n', Self::NEW),
        ('K', Self::KEYSPACE),
        ('E', Self::KEYEVENT),
        ('m', Self::KEY_MISS),
    ];

    /// The classes that `letters` name; `None` if one of them names nothing.
    pub fn from_letters(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::empty(), |classes, letter| {
            if letter == 'A' {
                return Some(classes | Self::ALL);
            }
            let (_, class) = Self::SHOWN.iter().find(|(known, _)| *known == letter)?;
            Some(classes | *class)
        })
    }

    /// The letters of the classes, with `A` where it covers some.
    pub fn letters(self) -> String {
        let mut letters = String::new();
        let mut rest = self;
        if self.contains(Self::ALL) {
            letters.push('A');
            rest -= Self::ALL;
        }
        let shown = Self::SHOWN.iter().filter(|(_, class)| rest.contains(*class));
        letters.extend(shown.map(|(letter, _)| *letter));
        letters
    }
}

//! When and how often a value was used, in the 32 bits that an entry has for it.
//!
//! 24 of them are what Redis has, and what files and clients are told of. The upper 8 divide its coarse clocks, so that of keys
//! that were used in the same second, or minute, the right one is evicted; they are 0 where nobody asks for that.
//!
//! Under an LRU policy the 24 bits are a clock in seconds; under an LFU policy they are 16 bits of minutes and
//! an 8-bit logarithmic counter. Both clocks wrap, and every difference here is taken modulo the wrap, so a value
//! idle for longer than one turn (194 days, 45 days) looks younger than it is but never negative. Time and
//! randomness are passed in.

const LRU_BITS: u32 = 24;
const LRU_MASK: u32 = (1 << LRU_BITS) - 1;

/// What a new value's counter starts with, so that it isn't evicted before it had a chance.
pub const LFU_INITIAL: u8 = 5;

/// The LRU clock at a Unix time in seconds.
pub fn lru_clock(unix_seconds: u64) -> u32 {
    (unix_seconds as u32) & LRU_MASK
}

/// Seconds from `then` to `now`, both LRU clocks.
pub fn lru_idle_seconds(then: u32, now: u32) -> u32 {
    now.wrapping_sub(then) & LRU_MASK
}

/// The LRU clock that lies `idle_seconds` before `now`; idle times beyond the clock's turn are cut to it.
pub fn lru_clock_before(now: u32, idle_seconds: u64) -> u32 {
    let idle = idle_seconds.min(u64::from(LRU_MASK)) as u32;
    now.wrapping_sub(idle) & LRU_MASK
}

/// What is added to access data for the part of a second, or of a minute, that has passed: `part` of `whole`.
pub fn fraction(part: u64, whole: u64) -> u32 {
    ((part.min(whole - 1) * 256 / whole) as u32) << LRU_BITS
}

/// Access data as Redis has it.
pub fn without_fraction(access: u32) -> u32 {
    access & LRU_MASK
}

/// The time between two that are clock readings with their fractions, in 256ths. One that is a little later than `now`, by
/// another thread's clock, was just now.
fn since(then: u32, now: u32, modulus: u32) -> u32 {
    // The fraction comes behind the clock that it divides.
    let passed = now.wrapping_sub(then) & modulus;
    if passed > modulus - LATER { 0 } else { passed }
}

/// 256ths that another thread's clock may be ahead: some seconds.
const LATER: u32 = 1024;

/// 256ths of a second from `then` to `now`, both LRU clocks with fractions.
pub fn lru_idle_fine(then: u32, now: u32) -> u32 {
    since(then.rotate_left(8), now.rotate_left(8), u32::MAX)
}

/// 256ths of a minute from the last use that access data tells of to `now`, which is that of a use now.
pub fn lfu_idle_fine(then: u32, now: u32) -> u32 {
    let fine = |access: u32| u32::from(lfu_unpack(access).0) << 8 | access >> LRU_BITS;
    since(fine(then), fine(now), LRU_MASK)
}

/// The 16-bit LFU clock, in minutes, at a Unix time in seconds.
pub fn lfu_minutes(unix_seconds: u64) -> u16 {
    (unix_seconds / 60) as u16
}

/// Packs the minute of the last decay and the counter.
pub fn lfu_pack(minutes: u16, counter: u8) -> u32 {
    u32::from(minutes) << 8 | u32::from(counter)
}

/// The LFU clock and counter of packed access data.
pub fn lfu_unpack(access: u32) -> (u16, u8) {
    ((access >> 8) as u16, access as u8)
}

/// The counter after the time since its last decay: one less for each full `decay_minutes`. Zero minutes switch
/// the decay off.
pub fn lfu_decayed(access: u32, now_minutes: u16, decay_minutes: u32) -> u8 {
    let (then, counter) = lfu_unpack(access);
    let elapsed = u32::from(now_minutes.wrapping_sub(then));
    let periods = elapsed.checked_div(decay_minutes).unwrap_or(0);
    u32::from(counter).saturating_sub(periods) as u8
}

/// The counter after one more access: the larger it is, the less likely it grows. `random` is uniform.
pub fn lfu_incremented(counter: u8, log_factor: u32, random: u32) -> u8 {
    if counter == u8::MAX {
        return counter;
    }
    let above_initial = u128::from(counter.saturating_sub(LFU_INITIAL));
    let odds = above_initial * u128::from(log_factor) + 1;
    // Grows with probability 1 / odds, without rounding.
    let grows = u128::from(random) * odds < 1 << 32;
    counter + u8::from(grows)
}

/// Packed access data after an access at `now_minutes`.
pub fn lfu_touched(
    access: u32,
    now_minutes: u16,
    decay_minutes: u32,
    log_factor: u32,
    random: u32,
) -> u32 {
    let counter = lfu_decayed(access, now_minutes, decay_minutes);
    lfu_pack(now_minutes, lfu_incremented(counter, log_factor, random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_order_what_was_used_in_the_same_second_and_change_nothing_else() {
        let at = |seconds, part| lru_clock(seconds) | fraction(part, 1000);
        assert_eq!(lru_idle_fine(at(7, 250), at(7, 500)), 64);
        assert_eq!(lru_idle_fine(at(7, 500), at(9, 250)), 2 * 256 - 64);
        assert_eq!(lru_idle_fine(at((1 << 24) - 1, 999), at(1 << 24, 0)), 1, "over the wrap");
        assert_eq!(lru_idle_fine(at(7, 500), at(7, 250)), 0, "another thread's clock is ahead");
        assert_eq!(lru_idle_seconds(at(7, 999), at(9, 0)), 2);
        assert_eq!(fraction(1000, 1000), fraction(999, 1000));
        let used = |minutes, counter, part| lfu_pack(minutes, counter) | fraction(part, 60);
        assert_eq!(lfu_idle_fine(used(5, 9, 15), used(5, 0, 30)), 64);
        assert_eq!(lfu_idle_fine(used(u16::MAX, 9, 30), used(0, 0, 0)), 128, "over the wrap");
        assert_eq!(lfu_idle_fine(used(5, 9, 30), used(5, 0, 15)), 0);
        assert_eq!(lfu_unpack(used(5, 9, 30)), (5, 9));
        assert_eq!(lfu_decayed(used(5, 9, 30), 7, 1), 7);
    }

    #[test]
    fn idle_time_survives_the_wrap() {
        assert_eq!(lru_idle_seconds(10, 15), 5);
        assert_eq!(lru_idle_seconds(LRU_MASK, 4), 5);
        assert_eq!(lru_idle_seconds(7, 7), 0);
        assert_eq!(lru_clock((1 << 24) + 3), 3);
        assert_eq!(lru_idle_seconds(lru_clock_before(3, 100), 3), 100);
        assert_eq!(lru_idle_seconds(lru_clock_before(3, u64::MAX), 3), LRU_MASK);
    }

    #[test]
    fn counter_decays_one_per_period() {
        let access = lfu_pack(100, 50);
        assert_eq!(lfu_unpack(access), (100, 50));
        assert_eq!(lfu_decayed(access, 100, 1), 50);
        assert_eq!(lfu_decayed(access, 110, 1), 40);
        assert_eq!(lfu_decayed(access, 119, 10), 49);
        assert_eq!(lfu_decayed(access, 100 + 51, 1), 0);
        assert_eq!(lfu_decayed(access, 9000, 0), 50);
        assert_eq!(lfu_decayed(lfu_pack(u16::MAX, 50), 4, 1), 45);
        assert_eq!(lfu_minutes(65_536 * 60 + 61), 1);
    }

    #[test]
    fn counter_grows_with_falling_probability() {
        assert_eq!(lfu_incremented(0, 10, u32::MAX), 1);
        assert_eq!(lfu_incremented(LFU_INITIAL, 10, u32::MAX), 6);
        assert_eq!(lfu_incremented(255, 0, 0), 255);
        assert_eq!(lfu_incremented(254, 0, u32::MAX), 255);
        assert_eq!(lfu_incremented(254, u32::MAX, 0), 255);
        assert_eq!(lfu_incremented(254, u32::MAX, 1), 254);
        // One above the initial value with factor 10: one in eleven.
        let limit = (1_u64 << 32) / 11;
        assert_eq!(lfu_incremented(6, 10, limit as u32), 7);
        assert_eq!(lfu_incremented(6, 10, limit as u32 + 1), 6);
    }

    #[test]
    fn a_touch_decays_first_and_stamps_the_minute() {
        assert_eq!(lfu_touched(lfu_pack(10, 20), 15, 1, 10, 0), lfu_pack(15, 16));
        assert_eq!(lfu_touched(lfu_pack(10, 20), 15, 1, 10, u32::MAX), lfu_pack(15, 15));
    }
}

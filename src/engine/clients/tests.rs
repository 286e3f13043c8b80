use super::*;
use crate::engine::rng::SplitMix;

const DEFAULT: usize = 524_288;

fn v4(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

fn v6(number: u64) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number)))
}

const fn at(ms: i64) -> MonoTime {
    MonoTime::from_nanos(ms * 1_000_000)
}

struct Lab {
    log: ClientLog,
    rng: SplitMix,
}

impl Lab {
    fn new(bytes: usize) -> Self {
        Self { log: ClientLog::new(bytes, 42), rng: SplitMix::new(7) }
    }

    fn hit(&mut self, address: IpAddr, ms: i64) -> Verdict {
        self.log.hit(Kind::Ntp, address, at(ms), &mut self.rng)
    }

    fn all(&mut self, ms: i64) -> Vec<Client> {
        self.log.page(0, usize::MAX, usize::MAX, 0, false, at(ms)).clients
    }

    fn of(&mut self, address: IpAddr, ms: i64) -> Activity {
        let found = self.all(ms).into_iter().find(|client| client.address == address);
        found.and_then(|client| client.ntp).unwrap_or_else(|| panic!("{address} is forgotten"))
    }
}

/// As chronyd 4.9 shows them for the same requests (run beside it).
#[test]
fn intervals_are_those_that_chronyd_shows() {
    let mut lab = Lab::new(DEFAULT);
    for (number, interval, expected) in [
        (1, 3, -5),
        (2, 50, -4),
        (3, 125, -3),
        (4, 500, -1),
        (5, 1000, 0),
        (6, 64_000, 6),
        (7, 1_024_000, 10),
    ] {
        for i in 0..40 {
            lab.hit(v4(number), i * interval);
        }
        let activity = lab.of(v4(number), 39 * interval + 2900);
        assert_eq!((activity.hits, activity.interval), (40, Some(expected)), "every {interval} ms");
        assert_eq!((activity.limited_interval, activity.drops), (None, 0));
        assert!((2..=3).contains(&activity.last));
    }
    lab.hit(v4(8), 0);
    assert_eq!(lab.of(v4(8), 0).interval, None);
}

#[test]
fn a_bucket_serves_a_burst_and_then_one_packet_an_interval() {
    for address in [v4(9), v6(9)] {
        let mut lab = Lab::new(DEFAULT);
        lab.log.limit(Kind::Ntp, Some(RateLimit { interval: 3, burst: 8, leak: 4, kod: 0 }));
        for i in 0..8 {
            assert_eq!(lab.hit(address, i), Verdict::Serve);
        }
        // no tokens: one of sixteen
        let served = (0..1600).filter(|_| lab.hit(address, 9) == Verdict::Serve).count();
        assert!((50..160).contains(&served), "{served}");
        // 8 s bring one token back
        lab.hit(address, 8010);
        let served = (0..16).filter(|i| lab.hit(address, 16_100 + i) == Verdict::Serve).count();
        assert!((1..6).contains(&served), "{served}");
        // within the rate: always
        for i in 0..50 {
            assert_eq!(lab.hit(address, 200_000 + i * 8000), Verdict::Serve);
        }
        assert!(lab.of(address, 0).drops > 1000);
    }
}

#[test]
fn fast_intervals_are_kept_too() {
    let mut lab = Lab::new(DEFAULT);
    lab.log.limit(Kind::Ntp, Some(RateLimit { interval: -10, burst: 255, leak: 4, kod: 0 }));
    // 1024 a second: 900 a second pass, 4000 do not
    let served = (0..4500).filter(|i| lab.hit(v4(1), i * 10 / 9) == Verdict::Serve).count();
    assert!(served > 4400, "{served}");
    let served = (0..20_000).filter(|i| lab.hit(v4(2), i / 4) == Verdict::Serve).count();
    assert!((5000..7500).contains(&served), "{served}");
}

#[test]
fn who_asks_faster_when_refused_gets_most_of_his_answers() {
    let mut lab = Lab::new(DEFAULT);
    lab.log.limit(Kind::Ntp, Some(RateLimit { interval: 3, burst: 8, leak: 2, kod: 0 }));
    let (mut ms, mut served) = (0, 0);
    for _ in 0..2000 {
        let is_served = lab.hit(v4(1), ms) == Verdict::Serve;
        served += u32::from(is_served);
        ms += if is_served { 2000 } else { 100 };
    }
    assert!(served > 1300, "{served} of 2000: the leak is inverted");
    let activity = lab.of(v4(1), ms);
    assert_eq!((activity.interval, activity.limited_interval), (Some(1), Some(-3)));
    // who always asks that fast is limited
    let served = (0..2000).filter(|i| lab.hit(v4(2), i * 100) == Verdict::Serve).count();
    assert!(served < 700, "{served} of 2000");
}

#[test]
fn a_flood_from_forged_addresses_leaves_honest_clients_in_the_log() {
    for forge in [v4 as fn(u32) -> IpAddr, |number| v6(u64::from(number))] {
        let mut lab = Lab::new(DEFAULT);
        for i in 0..3 {
            for honest in 0..500 {
                lab.hit(forge(0xc000_0000 + honest), i * 64_000);
            }
        }
        let before = lab.log.places();
        // tests/perf does it with a million
        for forged in 0..80_000 {
            lab.hit(forge(1 + forged), 150_000 + i64::from(forged / 10));
        }
        let kept = lab.all(170_000).iter().filter(|c| c.ntp.is_some_and(|a| a.hits == 3)).count();
        assert_eq!(kept, 500);
        assert!(lab.log.overwritten() > 60_000 && lab.log.places() == before);
        // and they are known at once when they come again
        assert_eq!(lab.hit(forge(0xc000_0000), 192_000), Verdict::Serve);
        assert_eq!(lab.of(forge(0xc000_0000), 192_000).hits, 4);
    }
    // a family does not suffer from the other one's flood
    let mut lab = Lab::new(DEFAULT);
    lab.hit(v6(1), 0);
    for forged in 1..20_000 {
        lab.hit(v4(forged), 0);
    }
    assert_eq!(lab.of(v6(1), 0).hits, 1);
}

#[test]
fn a_flood_from_one_address_leaves_all_others_alone() {
    let mut lab = Lab::new(DEFAULT);
    lab.log.limit(Kind::Ntp, Some(RateLimit { interval: 3, burst: 8, leak: 2, kod: 0 }));
    for i in 0..20_000 {
        lab.hit(v4(1), i / 100);
        if i % 200 == 0 {
            assert_eq!(lab.hit(v4(2 + u32::try_from(i / 200).unwrap()), i / 100), Verdict::Serve);
        }
    }
    assert_eq!(lab.log.overwritten(), 0);
}

#[test]
fn who_left_long_ago_makes_room() {
    let mut lab = Lab::new(0);
    for i in 0..2 {
        for gone in 0..16 {
            lab.hit(v4(1 + gone), i * 64_000);
        }
    }
    // the table is full of clients that came back; two hours later a new one is welcome and stays
    for i in 0..3 {
        lab.hit(v4(100), 7_200_000 + i * 64_000);
    }
    assert_eq!(lab.of(v4(100), 7_400_000).hits, 3);
}

#[test]
fn the_default_limit_holds_what_the_original_holds() {
    let mut lab = Lab::new(DEFAULT);
    for number in 1..=4096 {
        lab.hit(v4(number), 0);
        lab.hit(v6(u64::from(number)), 0);
    }
    // the original holds 4096 addresses of both families
    assert!(lab.log.overwritten() < 1000, "{}", lab.log.overwritten());
    let mut lab = Lab::new(DEFAULT);
    for number in 1..=12_000 {
        lab.hit(v4(number), 0);
    }
    assert_eq!(lab.log.overwritten(), 0);
}

#[test]
fn pages_go_over_all_clients_once_and_reset_what_they_saw() {
    let mut lab = Lab::new(DEFAULT);
    for number in 1..=100 {
        for _ in 0..number {
            lab.hit(v4(number), 0);
        }
        lab.hit(v6(u64::from(number)), 0);
    }
    for _ in 0..3 {
        lab.log.hit(Kind::Command, v4(5), at(0), &mut lab.rng);
        lab.log.hit(Kind::Command, v4(5000), at(0), &mut lab.rng);
    }
    let (mut next, mut seen) = (0, Vec::new());
    loop {
        let page = lab.log.page(next, 8, 1000, 0, false, at(0));
        assert!(page.clients.len() <= 8 && page.next - next <= 1000);
        seen.extend(page.clients);
        next = page.next;
        if next >= page.places {
            break;
        }
    }
    assert_eq!(seen.len(), 201);
    let find = |address| *seen.iter().find(|client| client.address == address).unwrap();
    assert_eq!(find(v4(5)).ntp.unwrap().hits, 5);
    assert_eq!(find(v4(5)).command.unwrap().hits, 3);
    assert_eq!((find(v4(5000)).ntp, find(v4(5000)).command.unwrap().hits), (None, 3));
    assert_eq!(find(v6(7)).command, None);
    // either kind is enough; what is filtered out is reset all the same
    let page = lab.log.page(0, usize::MAX, usize::MAX, 100, true, at(0));
    assert_eq!(page.clients.len(), 1);
    assert!(lab.all(0).iter().all(|c| [c.ntp, c.command].into_iter().flatten().all(|a| a.hits == 0)));
    lab.hit(v4(100), 1000);
    assert_eq!(lab.of(v4(100), 1000).hits, 1);
    assert_eq!(lab.log.page(usize::MAX, 8, 8, 0, false, at(0)).clients, []);
}

#[test]
fn clients_fit_into_40_bytes_each() {
    let mut lab = Lab::new(2_000_000);
    let mut rng = SplitMix::new(11);
    for number in 0..50_000 {
        // scattered and in a row
        let scattered = u32::try_from(rng.next_u64() >> 33).unwrap();
        lab.hit(v4(if number % 2 == 0 { scattered | 1 << 31 } else { number }), 0);
    }
    assert_eq!(lab.log.overwritten(), 0);
    assert!(lab.log.places() * 20 <= 2_000_000);
}

//! Names that resolve late, in part, or to something else.

use super::*;
use crate::engine::rng::SplitMix;

fn at(secs: i64) -> MonoTime {
    MonoTime::ZERO + TimeDelta::from_secs(secs)
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn some(last: impl IntoIterator<Item = u8>) -> Answer {
    Answer::Addresses(last.into_iter().map(address).collect())
}

fn free(_: IpAddr) -> bool {
    false
}

fn drain(names: &mut Names) -> Vec<Effect> {
    std::iter::from_fn(|| names.poll()).collect()
}

fn assigned(effects: &[Effect]) -> Vec<(u32, String)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Assign { source, address } => Some((source.0, address.to_string())),
            _ => None,
        })
        .collect()
}

fn pool(maxsources: u32) -> Source {
    Source { maxsources, ..Source::new(Kind::Pool, "pool.example") }
}

#[test]
fn a_name_is_tried_after_2_4_8_up_to_3584_seconds() {
    let mut names = Names::new(None);
    let (id, places) = names.add(at(0), &Source::new(Kind::Server, "a.example"));
    assert_eq!(places.len(), 1);
    let mut pauses = Vec::new();
    for _ in 0..13 {
        let due = names.next_timeout().unwrap();
        names.timer(due);
        assert_eq!(drain(&mut names), [Effect::Resolve { name: id, host: "a.example".to_owned() }]);
        assert_eq!(names.next_timeout(), None);
        names.resolved(due, id, &Answer::Later, &free);
        pauses.push((names.next_timeout().unwrap() - due).as_nanos() / 1_000_000_000);
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3584, 3584]);
    names.retry(at(100_000));
    assert_eq!(drain(&mut names).len(), 1);
    names.resolved(at(100_000), id, &some([7, 8]), &free);
    assert_eq!(assigned(&drain(&mut names)), [(1, "192.0.2.7:123".to_owned())]);
    assert_eq!((names.next_timeout(), names.unresolved().count()), (None, 0));
}

#[test]
fn what_cannot_be_a_name_is_not_asked_again() {
    let mut names = Names::new(None);
    let (id, _) = names.add(at(0), &Source::new(Kind::Server, "not a name"));
    names.timer(at(0));
    names.resolved(at(0), id, &Answer::Never, &free);
    let effects = drain(&mut names);
    let Some(Effect::Notice(notice)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(notice.text(), "Invalid host not a name");
    assert_eq!((names.next_timeout(), names.unresolved().count()), (None, 1));
}

#[test]
fn a_pool_has_twice_its_places_until_enough_members_answered() {
    let mut names = Names::new(None);
    let (id, places) = names.add(at(0), &pool(4));
    assert_eq!((places.len(), names.unresolved().count()), (8, 8));
    names.timer(at(0));
    drain(&mut names);
    // one is used elsewhere, one comes twice, one is of the wrong family for nobody
    names.resolved(at(1), id, &some([1, 2, 2, 3, 4, 5, 6]), &|address| address == self::address(3));
    assert_eq!(assigned(&drain(&mut names)).len(), 5);
    assert_eq!(names.unresolved().count(), 3);
    assert_eq!(names.next_timeout(), Some(at(3)));
    for place in places.iter().take(3) {
        names.confirmed(*place);
    }
    assert_eq!(drain(&mut names), []);
    names.confirmed(places[4]);
    let removed: Vec<Effect> = [places[3], places[5], places[6], places[7]]
        .into_iter()
        .map(|source| Effect::Remove { source })
        .collect();
    assert_eq!(drain(&mut names), removed);
    assert_eq!((names.next_timeout(), names.unresolved().count()), (None, 0));
    assert_eq!(names.add(at(0), &pool(16)).1.len(), 16);
}

#[test]
fn families_are_chosen_by_the_options() {
    let both = vec![address(1), "2001:db8::1".parse().unwrap()];
    for (ipv4, ipv6, chosen) in [
        (false, true, "[2001:db8::1]:123"),
        (true, false, "192.0.2.1:123"),
        (false, false, "192.0.2.1:123"),
        (true, true, "192.0.2.1:123"),
    ] {
        for turned in [false, true] {
            let mut options = Source::new(Kind::Server, "a.example");
            (options.flags.ipv4, options.flags.ipv6) = (ipv4, ipv6);
            let mut names = Names::new(None);
            let (id, _) = names.add(at(0), &options);
            names.timer(at(0));
            drain(&mut names);
            let mut answer = both.clone();
            if turned {
                answer.reverse();
            }
            let first = SocketAddr::new(answer[0], 123).to_string();
            names.resolved(at(0), id, &Answer::Addresses(answer), &free);
            // who says nothing, or both, takes them in the resolver's order
            let expected = if ipv4 == ipv6 { first } else { chosen.to_owned() };
            assert_eq!(assigned(&drain(&mut names)), [(1, expected)]);
        }
    }
}

#[test]
fn a_bad_source_is_replaced_now_and_then() {
    let mut names = Names::new(None);
    let mut rng = SplitMix::new(1);
    let (id, places) = names.add(at(0), &pool(1));
    names.timer(at(0));
    names.resolved(at(0), id, &some([1]), &free);
    names.confirmed(places[0]);
    drain(&mut names);
    names.replace(at(100), places[0], &mut rng);
    assert_eq!(drain(&mut names), [Effect::Resolve { name: id, host: "pool.example".to_owned() }]);
    // nothing else than what it has: it stays
    names.resolved(at(101), id, &some([1]), &free);
    assert_eq!(drain(&mut names), []);
    names.replace(at(101), places[0], &mut rng);
    assert_eq!(drain(&mut names), [], "not again so soon");
    names.replace(at(4000), places[0], &mut rng);
    names.resolved(at(4001), id, &some([1, 9]), &free);
    let effects = drain(&mut names);
    assert_eq!(assigned(&effects), [(places[0].0, "192.0.2.9:123".to_owned())]);
    let Some(Effect::Notice(notice)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(notice.text(), "Source 192.0.2.1 replaced with 192.0.2.9 (pool.example)");
    // a literal address has no name
    let literal = names.allocate();
    names.replace(at(90_000), literal, &mut rng);
    assert_eq!(drain(&mut names), []);
}

#[test]
fn the_oldest_address_is_refreshed() {
    let mut names = Names::new(Some(TimeDelta::from_secs(1_209_600)));
    let (id, places) = names.add(at(0), &Source::new(Kind::Server, "a.example"));
    names.timer(at(0));
    names.resolved(at(0), id, &some([1]), &free);
    drain(&mut names);
    assert_eq!(names.next_timeout(), Some(at(1_209_600)));
    names.timer(at(1_209_600));
    assert_eq!(drain(&mut names).len(), 1);
    names.resolved(at(1_209_600), id, &Answer::Later, &free);
    assert_eq!(drain(&mut names), [], "a resolver that fails takes nothing away");
    names.refresh_all(at(1_300_000));
    assert_eq!(drain(&mut names).len(), 1);
    names.resolved(at(1_300_000), id, &some([2]), &free);
    let effects = drain(&mut names);
    assert_eq!(assigned(&effects), [(places[0].0, "192.0.2.2:123".to_owned())]);
    let Some(Effect::Notice(notice)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(notice.text(), "Source 192.0.2.1 changed to 192.0.2.2 (a.example)");
}

#[test]
fn removed_sources_and_names_are_forgotten() {
    let mut names = Names::new(None);
    let (server, places) = names.add(at(0), &Source::new(Kind::Server, "a.example"));
    let (other, members) = names.add(at(0), &pool(2));
    names.timer(at(0));
    names.remove(places[0]);
    drain(&mut names);
    names.resolved(at(0), server, &some([1]), &free);
    assert_eq!(drain(&mut names), []);
    assert_eq!(names.remove_name(other), members);
    assert_eq!((names.next_timeout(), names.unresolved().count()), (None, 0));
}

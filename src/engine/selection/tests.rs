use super::*;

const LIMITS: Limits = Limits {
    maxdistance: 3.0,
    maxjitter: 1.0,
    minstratum: 0,
    maxstratum: 15,
    reselectdist: 1e-4,
    stratumweight: 1e-3,
    combinelimit: 3.0,
    minsources: 1,
    maxclockerror: 1e-6,
    orphan: None,
};

fn source(id: u32, offset: f64, distance: f64) -> Candidate {
    Candidate {
        id: SourceId(id),
        refclock: false,
        options: Options::default(),
        leap: Leap::None,
        stratum: 2,
        reach: 0xFF,
        reach_size: 8,
        given_up: false,
        fresh: true,
        senior: None,
        stats: Some(Stats {
            low: offset - distance,
            high: offset + distance,
            root_distance: distance,
            jitter: 1e-5,
            first_ago: 500.0,
            last_ago: 10.0,
            frequency: 0.0,
            skew: 1e-6,
        }),
    }
}

fn run(selection: &mut Selection, candidates: &[Candidate]) -> Outcome {
    let first: Vec<SourceId> = candidates.iter().take(1).map(|c| c.id).collect();
    selection.run(candidates, &first, &LIMITS)
}

fn letters(selection: &Selection, candidates: &[Candidate]) -> String {
    candidates.iter().map(|c| selection.shown(c.id).status.letter()).collect()
}

#[test]
fn the_majority_wins_and_the_liar_is_named() {
    let all = [source(1, 0.0, 0.01), source(2, 0.002, 0.01), source(3, 5.0, 0.01)];
    let mut selection = Selection::default();
    let outcome = run(&mut selection, &all);
    assert_eq!(outcome.decision, Decision::Update(vec![SourceId(1), SourceId(2)]));
    assert_eq!(letters(&selection, &all), "*+x");
    assert_eq!(outcome.messages, [Message::Selected(SourceId(1))]);
    // about the liar a line comes after four of its updates
    for round in 1..=5 {
        let outcome = selection.run(&all, &[SourceId(3)], &LIMITS);
        let said = outcome.messages.contains(&Message::Falseticker(SourceId(3)));
        assert_eq!(said, round == 4, "round {round}");
    }
    assert!(selection.is_replaceable(SourceId(3)));
}

#[test]
fn without_a_majority_nothing_is_believed_and_it_is_said_once() {
    let all = [source(1, 0.0, 0.01), source(2, 5.0, 0.01)];
    let mut selection = Selection::default();
    let outcome = run(&mut selection, &all);
    assert_eq!(outcome.decision, Decision::Lost);
    assert_eq!(outcome.messages, [Message::NoAgreement { of: 2 }]);
    assert_eq!(letters(&selection, &all), "xx");
    assert!(run(&mut selection, &all).messages.is_empty());
    let four = [source(1, 0.0, 0.01), source(2, 0.0, 0.01), source(3, 9.0, 0.01), source(4, 9.0, 0.01)];
    let outcome = run(&mut Selection::default(), &four);
    assert_eq!(outcome.messages, [Message::NoMajority { agree: 2, of: 4, trusted: false }]);
}

#[test]
fn the_result_does_not_depend_on_the_order() {
    let mut all = [source(1, 0.0, 0.02), source(2, 0.001, 0.01), source(3, 7.0, 0.5), source(4, 0.0, 0.015)];
    let first = run(&mut Selection::default(), &all).decision;
    all.reverse();
    let mut selection = Selection::default();
    let second = selection.run(&all, &[SourceId(1)], &LIMITS).decision;
    let sorted = |decision| match decision {
        Decision::Update(mut used) => {
            used.sort();
            used
        }
        _ => Vec::new(),
    };
    assert_eq!(sorted(first), sorted(second));
    assert_eq!(selection.selected(), Some(SourceId(2)));
}

#[test]
fn each_fault_has_its_letter() {
    let mut all: Vec<Candidate> = (1..=7).map(|id| source(id, 0.0, 0.01)).collect();
    all[0].options.noselect = true;
    all[1].stats = None;
    all[2].leap = Leap::Unsynchronised;
    all[3].stratum = 16;
    all[4].stats.as_mut().unwrap().root_distance = 3.5;
    all[5].stats.as_mut().unwrap().jitter = 1.5;
    let mut selection = Selection::default();
    assert_eq!(run(&mut selection, &all).decision, Decision::Update(vec![SourceId(7)]));
    assert_eq!(letters(&selection, &all), "NMsrd~*");
    // no number is no distance
    all[6].stats.as_mut().unwrap().root_distance = f64::NAN;
    assert_eq!(run(&mut selection, &all).decision, Decision::Lost);
}

#[test]
fn prefer_trust_and_require_decide() {
    let mut all = [source(1, 0.0, 0.01), source(2, 0.0, 0.02)];
    all[1].options.prefer = true;
    let mut selection = Selection::default();
    assert_eq!(run(&mut selection, &all).decision, Decision::Update(vec![SourceId(2)]));
    assert_eq!(letters(&selection, &all), "P*");

    let mut all = [source(1, 5.0, 0.01), source(2, 5.0, 0.01), source(3, 0.0, 0.01)];
    all[2].options.trust = true;
    let mut selection = Selection::default();
    assert_eq!(run(&mut selection, &all).decision, Decision::Update(vec![SourceId(3)]));
    assert_eq!(letters(&selection, &all), "TT*");

    let mut all = [source(1, 0.0, 0.01), source(2, 0.0, 0.01)];
    all[1].options.require = true;
    all[1].stats = None;
    let mut selection = Selection::default();
    let outcome = run(&mut selection, &all);
    assert_eq!(outcome.messages, [Message::NoRequired]);
    assert_eq!(letters(&selection, &all), "WM");
}

#[test]
fn the_choice_changes_only_for_a_clearly_better_one() {
    let mut all = [source(1, 0.0, 0.010), source(2, 0.0, 0.020)];
    let mut selection = Selection::default();
    run(&mut selection, &all);
    assert_eq!(selection.selected(), Some(SourceId(1)));
    all[0] = source(1, 0.0, 0.020);
    all[1] = source(2, 0.0, 0.012);
    let mut runs = 0;
    while selection.selected() == Some(SourceId(1)) {
        run(&mut selection, &all);
        runs += 1;
        assert!(runs < 20);
    }
    // 1.65 to the fifth is the first power above ten
    assert_eq!(runs, 5);
}

#[test]
fn far_ones_are_not_combined_for_a_while() {
    let mut all = [source(1, 0.0, 0.001), source(2, 0.0, 0.01)];
    let mut selection = Selection::default();
    assert_eq!(run(&mut selection, &all).decision, Decision::Update(vec![SourceId(1)]));
    assert_eq!(letters(&selection, &all), "*D");
    all[1] = source(2, 0.0, 0.002);
    for _ in 0..31 {
        assert_eq!(run(&mut selection, &all).decision, Decision::Update(vec![SourceId(1)]));
    }
    assert_eq!(run(&mut selection, &all).decision, Decision::Update(vec![SourceId(1), SourceId(2)]));
}

#[test]
fn without_a_new_sample_of_the_selected_one_nothing_is_updated() {
    let mut all = [source(1, 0.0, 0.01), source(2, 0.0, 0.01)];
    let mut selection = Selection::default();
    run(&mut selection, &all);
    all[0].fresh = false;
    assert_eq!(selection.run(&all, &[SourceId(2)], &LIMITS).decision, Decision::Keep);
    assert_eq!(letters(&selection, &all), "*+");
}

#[test]
fn sources_that_were_asked_together_start_together() {
    let mut all = [source(1, 0.0, 0.01), source(2, 0.0, 0.01)];
    all[0].reach = 0b111;
    all[0].reach_size = 3;
    all[1].reach = 0b11;
    all[1].reach_size = 2;
    all[1].stats = None;
    let mut selection = Selection::default();
    assert_eq!(run(&mut selection, &all).decision, Decision::Keep);
    assert_eq!(letters(&selection, &all), "wM");
}

#[test]
fn the_vote_needs_more_than_half() {
    let mut all = [source(1, 0.0, 0.01), source(2, 0.0, 0.01), source(3, 0.0, 0.01)];
    all[0].leap = Leap::Add;
    assert_eq!(run(&mut Selection::default(), &all).leap, Leap::None);
    all[1].leap = Leap::Add;
    assert_eq!(run(&mut Selection::default(), &all).leap, Leap::Add);
    all[2].options.trust = true;
    assert_eq!(run(&mut Selection::default(), &all).leap, Leap::None);
}

//! Scenarios: every option of a source and every directive of the discipline does something.

use ntpbox::engine::options::{AuthSelectMode, Local, Settings};
use ntpbox::engine::selection::Options;

use super::host::OscillatorSpec;
use super::link::Delay;
use super::s0_conditions::{honest, liar, quick, servers};
use super::scenario::{Run, Scenario, ServerSpec};
use super::server::{Conduct, Server};

/// The quick start with one default server and these options.
fn with(options: &'static str) -> Scenario {
    let mut scenario = Scenario { polls: (6, 6), ..quick() };
    for server in &mut scenario.servers {
        server.options = options;
    }
    scenario
}

/// The quick start with this directive.
fn set(change: impl FnOnce(&mut Settings)) -> Scenario {
    let mut scenario = Scenario { polls: (6, 6), ..quick() };
    change(&mut scenario.settings);
    scenario
}

/// Three servers: the second lies by 20 ms; these options for the first, second and third.
fn three(options: [&'static str; 3]) -> Scenario {
    let mut servers = servers(&[honest(), liar(20), honest()]);
    for (server, options) in servers.iter_mut().zip(options) {
        server.options = options;
    }
    Scenario { servers, polls: (6, 6), ..quick() }
}

fn stratum(run: &Run) -> u8 {
    let now = run.world.clock(0).now();
    run.daemon().engine().snapshot(now).stratum.get()
}

#[test]
fn s101_minpoll_and_maxpoll_are_kept() {
    let (low, high) = with("minpoll 4 maxpoll 5").follow().poll_range(1, 100.0);
    assert!(low >= 15.9 && high <= 33.0, "{low} {high}");
    let (low, _) = with("minpoll 8 maxpoll 9").follow().poll_range(1, 300.0);
    assert!(low >= 255.0, "{low}");
}

#[test]
fn s102_iburst_asks_four_times_at_once() {
    assert_eq!(with("iburst").until(30).requests(1), 4);
    assert_eq!(Scenario { iburst: false, ..with("") }.until(30).requests(1), 1);
}

#[test]
fn s103_offset_corrects_a_server_that_is_known_to_be_off() {
    // the option is added to the server's offset, which is > 0 where our clock is behind
    let error = with("offset 0.01").follow().error();
    assert!((error.abs() - 0.01).abs() < 5e-4, "{error}");
    assert!(with("offset 0").follow().error().abs() < 5e-4);
}

#[test]
fn s104_asymmetry_takes_a_queue_of_one_direction_out() {
    let server = |options| {
        let up = vec![Delay::Fixed(1e-3)];
        let down = vec![Delay::Fixed(1e-3), Delay::Normal(2e-3, 0.5e-3)];
        vec![ServerSpec { up, options, ..ServerSpec::alike(down) }]
    };
    let run = |options| Scenario { servers: server(options), polls: (6, 6), ..quick() }.follow().rms_offset();
    assert!(run("asymmetry 0.5") != run(""), "no effect");
    assert!(run("asymmetry 0.5") < run("asymmetry -0.5"));
}

#[test]
fn s105_mindelay_says_what_the_shortest_round_trip_is() {
    let error = |options| with(options).follow().error();
    assert!(error("mindelay 0.0004") != error(""), "no effect");
}

#[test]
fn s106_maxdelay_refuses_long_round_trips() {
    let run = with("maxdelay 0.0001").follow();
    assert_eq!((run.daemon().samples, run.daemon().engine().updates()), (0, 0));
    assert_eq!(run.selected(), "M");
}

#[test]
fn s107_delay_tests_refuse_some() {
    let all = with("").follow().daemon().samples;
    for options in ["maxdelayratio 1.2", "maxdelaydevratio 0.5", "maxdelayquant 0.3"] {
        let run = with(options).follow();
        let samples = run.daemon().samples;
        assert!(samples < all && samples > 5, "{options}: {samples} of {all}");
        assert_eq!(run.selected(), "*", "{options}");
    }
}

#[test]
fn s108_filter_makes_one_sample_of_several() {
    let (all, run) = (with("").follow().daemon().samples, with("filter 4").follow());
    let samples = run.daemon().samples;
    assert!(samples * 3 < all && samples * 6 > all, "{samples} of {all}");
    assert!(run.max_offset() < 1e-3);
}

/// Samples in the register of the first source.
fn kept(run: &Run) -> usize {
    run.daemon().engine().sources().next().unwrap().1.association.register().len()
}

#[test]
fn s109_maxsamples_cuts_the_register() {
    let (cut, run) = (with("maxsamples 4").follow(), with("").follow());
    assert!(kept(&cut) <= 4 && kept(&run) > 4, "{} {}", kept(&cut), kept(&run));
}

#[test]
fn s120_maxsamples_of_a_source_cuts_the_bank() {
    assert!(with("maxsamples 3").follow().rms_offset() > with("").follow().rms_offset());
}

#[test]
fn s110_minsamples_keeps_old_ones() {
    let wandering = |options| {
        let oscillator = OscillatorSpec { rate: 20e-6, wander: 1e-7, ..OscillatorSpec::default() };
        kept(&Scenario { oscillator, ..with(options) }.follow())
    };
    assert!(wandering("minsamples 40") >= 40 && wandering("") < 30);
}

#[test]
fn s219_minsamples_of_all_sources_keeps_old_ones() {
    let wandering = |count| {
        let oscillator = OscillatorSpec { rate: 20e-6, wander: 1e-7, ..OscillatorSpec::default() };
        let scenario = set(|settings| settings.minsamples = count);
        kept(&Scenario { oscillator, ..scenario }.follow())
    };
    assert!(wandering(40) >= 40 && wandering(6) < 30);
}

#[test]
fn s122_copy_shows_the_source_s_own_stratum_and_reference() {
    let served = |options| {
        let run = with(options).until(100);
        let now = run.world.clock(0).now();
        let snapshot = run.daemon().engine().snapshot(now);
        (snapshot.stratum.get(), snapshot.refid.to_bits())
    };
    assert_eq!(served(""), (2, 0x0A00_0001));
    // the refid of that server is told as 10.0.0.1 too: only the stratum tells the two apart there
    assert_eq!(served("copy"), (1, 0x0A00_0001));
}

#[test]
fn s111_presend_asks_twice() {
    let (twice, once) = (with("presend 6").follow().requests(1), with("").follow().requests(1));
    assert!(twice * 10 > once * 17, "{twice} {once}");
}

#[test]
fn s112_polltarget_keeps_polls_short() {
    let requests = |options| with(options).follow().requests(1);
    let (many, few) =
        (requests("minpoll 4 maxpoll 10 polltarget 60"), requests("minpoll 4 maxpoll 10 polltarget 6"));
    assert!(many > few, "{many} {few}");
}

#[test]
fn s113_noselect_is_measured_only() {
    let run = with("noselect").follow();
    assert_eq!((run.selected().as_str(), run.daemon().engine().updates()), ("N", 0));
    assert!(run.daemon().samples > 50);
}

#[test]
fn s114_prefer_trust_and_require_decide() {
    let prefer = three(["", "noselect", "prefer"]).follow();
    assert_eq!(prefer.selected().chars().nth(2), Some('*'), "{}", prefer.selected());
    // one trusted source outweighs two others
    let trust = three(["", "trust", ""]).follow();
    assert!((trust.error() - 0.02).abs() < 2e-3, "{}", trust.error());
    let none = three(["", "", "noselect require"]).follow();
    assert_eq!(none.daemon().engine().updates(), 0, "{}", none.selected());
}

#[test]
fn s115_offline_is_silent() {
    assert_eq!(with("offline").follow().requests(1), 0);
}

#[test]
fn s116_minstratum_makes_a_source_worse() {
    assert_eq!((stratum(&with("").follow()), stratum(&with("minstratum 5").follow())), (2, 6));
}

#[test]
fn s117_version_is_sent() {
    for (options, version) in [("version 3", 3), ("version 4", 4)] {
        let run = with(options).until(100);
        assert_eq!(run.world.node::<Server>(1).unwrap().version, version);
        assert!(run.daemon().samples > 2);
    }
}

#[test]
fn s118_maxunreach_lets_a_silent_source_go() {
    let scenario = |options| {
        let conduct = Conduct { silent: (2000, i64::MAX), ..honest() };
        let mut servers = servers(&[conduct]);
        servers[0].options = options;
        Scenario { servers, polls: (6, 6), limit: 6000, ..quick() }
    };
    let facts = |run: &Run| run.daemon().engine().sources().next().unwrap().1.association.facts().given_up;
    assert!(facts(&scenario("maxunreach 10").follow()) && !facts(&scenario("").follow()));
}

#[test]
fn s119_xleave_and_fields_do_no_harm() {
    for options in ["xleave", "extfield F323", "copy", "presend 6 xleave", "burst"] {
        let run = with(options).follow();
        assert!(run.max_offset() < 5e-4, "{options}: {}", run.max_offset());
    }
}

#[test]
fn s121_burst_asks_again_for_what_was_lost() {
    let scenario = |options| Scenario { loss: 0.3, limit: 20_000, ..with(options) };
    let samples = |options| {
        let run = scenario(options).follow();
        (run.daemon().samples, run.requests(1))
    };
    let (more, once) = (samples("burst minpoll 4 maxpoll 9"), samples("minpoll 4 maxpoll 9"));
    assert!(more.1 > once.1 && more.0 > once.0, "{more:?} {once:?}");
}

#[test]
fn s201_makestep_steps_only_when_it_may() {
    let base = Scenario { error: 2.0, ..Scenario { polls: (6, 6), ..quick() } };
    assert_eq!(base.follow().daemon().steps.len(), 1);
    let never = Scenario { settings: Settings::default(), ..base.clone() }.follow();
    assert!(never.daemon().steps.is_empty() && never.max_offset() < 1e-3);
    let settings = Settings { makestep: Some((5.0, 3)), ..Settings::default() };
    assert!(Scenario { settings, ..base }.follow().daemon().steps.is_empty());
}

#[test]
fn s202_maxchange_ignores_and_then_gives_up() {
    let scenario = |ignored| {
        let settings = Settings { maxchange: Some((0.5, 1, ignored)), ..Settings::default() };
        let conduct = Conduct { lie: (3000, 5_000_000_000), ..honest() };
        Scenario { settings, servers: servers(&[conduct]), error: 0.0, polls: (6, 6), ..quick() }
    };
    let run = scenario(-1).follow();
    assert!(run.error().abs() < 0.05 && !run.daemon().gave_up, "{}", run.error());
    assert!(scenario(2).follow().daemon().gave_up);
}

#[test]
fn s203_maxslewrate_is_a_limit() {
    let settings = Settings { maxslewrate: 500.0, ..Settings::default() };
    let run = Scenario { error: 1.0, settings, limit: 6000, settle: 4000, ..quick() }.follow();
    assert!(run.daemon().fastest < 700e-6, "{}", run.daemon().fastest);
    assert!((1900..3000).contains(&run.synced_at()), "{}", run.synced_at());
}

#[test]
fn s216_maxsamples_cuts_the_registers_and_the_bank() {
    let run = |count| set(|settings| settings.maxsamples = count).follow();
    let (cut, all) = (run(3), run(0));
    assert!(kept(&cut) <= 3 && kept(&all) > 4);
    assert!(cut.rms_offset() > 1.2 * all.rms_offset(), "{} {}", cut.rms_offset(), all.rms_offset());
}

#[test]
fn s204_maxdrift_is_a_limit() {
    let run = set(|settings| settings.maxdrift = 50.0).follow();
    let frequency = run.daemon().engine().frequency();
    assert!(frequency.abs() < 51e-6, "{frequency}");
}

#[test]
fn s205_maxupdateskew_keeps_a_bad_rate_out() {
    let run = |skew| {
        let scenario = set(|settings| settings.maxupdateskew = skew);
        scenario.until(1000).daemon().engine().frequency()
    };
    assert!((run(1000.0) - 100e-6).abs() < 2e-6, "{}", run(1000.0));
    assert!((run(1e-6) - 100e-6).abs() > 50e-6, "{}", run(1e-6));
}

#[test]
fn s206_corrtimeratio_trades_time_for_rate() {
    let run = |ratio| set(|settings| settings.corrtimeratio = ratio).follow();
    let (fast, slow) = (run(0.5), run(30.0));
    assert!(slow.rms_rate() < fast.rms_rate(), "{} {}", slow.rms_rate(), fast.rms_rate());
    assert!(slow.rms_offset() > fast.rms_offset());
}

#[test]
fn s207_maxclockerror_widens_what_is_served() {
    let dispersion = |ppm| {
        let run = set(|settings| settings.maxclockerror = ppm).follow();
        run.daemon().engine().tracking(run.world.clock(0).now()).root_dispersion
    };
    assert!(dispersion(100.0) > 3.0 * dispersion(1.0), "{} {}", dispersion(100.0), dispersion(1.0));
}

#[test]
fn s208_maxdistance_and_maxjitter_refuse() {
    let far = set(|settings| settings.maxdistance = 1e-5).follow();
    assert_eq!((far.selected().as_str(), far.daemon().engine().updates()), ("d", 0));
    let jittery = set(|settings| settings.maxjitter = 1e-6).follow();
    assert_eq!((jittery.selected().as_str(), jittery.daemon().engine().updates()), ("~", 0));
}

#[test]
fn s209_minstratum_and_maxstratum_bound_what_is_followed() {
    let far = set(|settings| settings.minstratum = 3).follow();
    assert_eq!(far.daemon().engine().updates(), 0, "{}", far.selected());
    let mut servers = servers(&[Conduct { stratum: 9, ..honest() }]);
    servers[0].options = "";
    let scenario = Scenario { servers, ..set(|settings| settings.maxstratum = 5) };
    assert_eq!(scenario.follow().daemon().engine().updates(), 0);
}

#[test]
fn s210_minsources_waits_for_company() {
    let alone = set(|settings| settings.minsources = 2).follow();
    assert_eq!((alone.selected().as_str(), alone.daemon().engine().updates()), ("W", 0));
    let two = Scenario { servers: servers(&[honest(), honest()]), ..set(|settings| settings.minsources = 2) };
    assert!(two.follow().daemon().engine().updates() > 10);
}

#[test]
fn s211_combinelimit_and_the_distances_choose_partners() {
    let two = |change: &dyn Fn(&mut Settings)| {
        let mut scenario =
            Scenario { servers: servers(&[honest(), honest()]), ..set(|settings| change(settings)) };
        scenario.servers[1].up[0] = Delay::Fixed(5e-3);
        scenario.servers[1].down[0] = Delay::Fixed(5e-3);
        scenario.follow().selected()
    };
    assert_eq!(two(&|settings| settings.combinelimit = 100.0), "*+");
    assert_eq!(two(&|settings| settings.combinelimit = 0.0), "*D");
    assert_eq!(two(&|settings| settings.reselectdist = 1.0), "*+");
}

#[test]
fn s212_stratumweight_makes_a_near_one_lose() {
    let two = |weight| {
        let conducts = [Conduct { stratum: 3, ..honest() }, honest()];
        let mut scenario =
            Scenario { servers: servers(&conducts), ..set(|settings| settings.stratumweight = weight) };
        scenario.servers[1].up[0] = Delay::Fixed(5e-3);
        scenario.servers[1].down[0] = Delay::Fixed(5e-3);
        scenario.follow().selected().find('*')
    };
    assert_eq!((two(0.0), two(1.0)), (Some(0), Some(1)));
}

#[test]
fn s213_the_drift_file_is_where_the_rate_starts() {
    let scenario = Scenario { drift: Some((100.0, 0.1)), iburst: false, error: 0.0, ..with("") };
    assert!(scenario.until(60).error().abs() < 1e-4, "{}", scenario.until(60).error());
    assert!(Scenario { drift: None, ..scenario }.until(60).error() > 5e-3);
    let (frequency, skew) = with("").follow().daemon().drift.expect("written every hour");
    assert!((frequency - 100.0).abs() < 0.5 && skew < 5.0, "{frequency} {skew}");
}

#[test]
fn s214_logchange_is_how_much_is_worth_a_line() {
    let lines = |limit| {
        let scenario = Scenario { settings: Settings { logchange: limit, ..Settings::default() }, ..quick() };
        scenario.follow().daemon().said("System clock wrong by")
    };
    assert!(lines(0.01) >= 1);
    assert_eq!(lines(10.0), 0);
}

#[test]
fn s215_authselectmode_require_needs_keys() {
    let run = set(|settings| settings.authselectmode = AuthSelectMode::Require).follow();
    assert_eq!(run.daemon().engine().updates(), 0, "{}", run.selected());
}

#[test]
fn s217_authselectmode_says_what_keys_are_worth() {
    let options = |mode| {
        let mut scenario = Scenario {
            servers: servers(&[honest(), honest()]),
            ..set(|settings| settings.authselectmode = mode)
        };
        scenario.servers[0].options = "key 1";
        let run = scenario.until(10);
        let effective = |n| run.daemon().engine().sources().nth(n).unwrap().1.effective;
        let ([signed, other], flags) =
            ([effective(0), effective(1)], |o: Options| [o.trust, o.require, o.noselect]);
        (flags(signed), flags(other))
    };
    let none = [false; 3];
    assert_eq!(options(AuthSelectMode::Ignore), (none, none));
    assert_eq!(options(AuthSelectMode::Mix), ([true, true, false], none));
    assert_eq!(options(AuthSelectMode::Prefer), (none, [false, false, true]));
    assert_eq!(options(AuthSelectMode::Require), (none, [false, false, true]));
}

#[test]
fn s218_local_serves_what_there_is() {
    let dead = Conduct { silent: (0, i64::MAX), ..honest() };
    let alone = |local| Scenario {
        servers: servers(std::slice::from_ref(&dead)),
        ..set(|settings| settings.local = local)
    };
    let local = Local {
        stratum: 8,
        orphan: false,
        distance: 1.0,
        activate: 0.0,
        waitsynced: 0.0,
        waitunsynced: 300.0,
    };
    assert_eq!(stratum(&alone(None).until(1000)), 0);
    assert_eq!(stratum(&alone(Some(local)).until(200)), 0);
    assert_eq!(stratum(&alone(Some(local)).until(400)), 8);
    // a source that is followed is better
    assert_eq!(stratum(&set(|settings| settings.local = Some(local)).follow()), 2);
}

//! ntpd's access list: `restrict` lines, the most specific entry decides (ntp-legacy 3.3).
//!
//! Entries are ordered by address, then mask, then `ntpport`, and the last that matches wins; a mask may have holes. An entry
//! that is named again gains flags and never loses one. Networks with an ordinary mask are found through a trie.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::BitOr;

use super::access::{Network, Table};

/// Port of NTP servers, which `ntpport` asks for.
const NTP_PORT: u16 = 123;

/// The flags of an entry, by the numbers that `mrulist` of 4.2.8p15 shows (older ones had no `noepeer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u16);

impl Flags {
    /// No restriction.
    pub const NONE: Self = Self(0);
    /// `ignore`: every packet is dropped.
    pub const IGNORE: Self = Self(1);
    /// `noserve`: everything but modes 6 and 7 is dropped.
    pub const NOSERVE: Self = Self(2);
    /// `notrust`: only packets with a valid MAC are served.
    pub const NOTRUST: Self = Self(4);
    /// `version`: only the current version is served.
    pub const VERSION: Self = Self(8);
    /// `nopeer`: no association from a packet without a MAC.
    pub const NOPEER: Self = Self(0x10);
    /// `limited`: who asks too often is not served.
    pub const LIMITED: Self = Self(0x40);
    /// `noquery`: modes 6 and 7 are dropped.
    pub const NOQUERY: Self = Self(0x80);
    /// `nomodify`: modes 6 and 7 change nothing.
    pub const NOMODIFY: Self = Self(0x100);
    /// `notrap`.
    pub const NOTRAP: Self = Self(0x200);
    /// `lowpriotrap`.
    pub const LOWPRIOTRAP: Self = Self(0x400);
    /// `kod`: who is refused for asking too often is told, now and then.
    pub const KOD: Self = Self(0x800);
    /// `mssntp`.
    pub const MSSNTP: Self = Self(0x1000);
    /// `flake`: one packet of ten is dropped.
    pub const FLAKE: Self = Self(0x2000);
    /// `nomrulist`: the list of clients is not shown.
    pub const NOMRULIST: Self = Self(0x4000);
    /// `noepeer`: no association from any packet.
    pub const NOEPEER: Self = Self(0x20);

    /// The words of ntp.conf that are a flag here; `ntpport` selects, it does not restrict.
    pub const WORDS: [(&'static str, Self); 15] = [
        ("ignore", Self::IGNORE),
        ("noserve", Self::NOSERVE),
        ("notrust", Self::NOTRUST),
        ("version", Self::VERSION),
        ("nopeer", Self::NOPEER),
        ("limited", Self::LIMITED),
        ("noquery", Self::NOQUERY),
        ("nomodify", Self::NOMODIFY),
        ("notrap", Self::NOTRAP),
        ("lowpriotrap", Self::LOWPRIOTRAP),
        ("kod", Self::KOD),
        ("mssntp", Self::MSSNTP),
        ("flake", Self::FLAKE),
        ("nomrulist", Self::NOMRULIST),
        ("noepeer", Self::NOEPEER),
    ];

    /// The flag of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag)
    }

    /// The number.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The address, with the bits outside the mask zero.
    pub address: IpAddr,
    /// Its mask, of the same family.
    pub mask: IpAddr,
    /// Only for packets from port 123.
    pub ntpport: bool,
    /// An address of this host, entered by the daemon itself.
    pub own: bool,
    /// A server that is asked, with the flags of `restrict source`.
    pub source: bool,
    /// What is restricted.
    pub flags: Flags,
    /// Packets that it decided about.
    pub hits: u64,
}

impl Rule {
    /// An entry for an address and a mask of the same family; another family's mask counts as that of one address.
    pub fn new(address: IpAddr, mask: IpAddr, flags: Flags) -> Self {
        let mask = if mask.is_ipv4() == address.is_ipv4() { mask } else { mask_of(Network::host(address)) };
        let address = match (address, mask) {
            (IpAddr::V4(a), IpAddr::V4(m)) => IpAddr::V4(a & m),
            (IpAddr::V6(a), IpAddr::V6(m)) => IpAddr::V6(a & m),
            (other, _) => other,
        };
        Self { address, mask, ntpport: false, own: false, source: false, flags, hits: 0 }
    }

    /// The entry of a network.
    pub fn network(network: Network, flags: Flags) -> Self {
        Self::new(network.address(), mask_of(network), flags)
    }

    /// The network, when the mask has no holes.
    pub fn as_network(&self) -> Option<Network> {
        let (leading, ones) = match self.mask {
            IpAddr::V4(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
            IpAddr::V6(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        };
        let bits = u8::try_from(leading).ok().filter(|_| leading == ones)?;
        Some(Network::new(self.address, bits))
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, self.mask, address) {
            (IpAddr::V4(a), IpAddr::V4(m), IpAddr::V4(x)) => x & m == a,
            (IpAddr::V6(a), IpAddr::V6(m), IpAddr::V6(x)) => x & m == a,
            _ => false,
        }
    }

    /// The order in which the last match wins.
    fn rank(&self) -> (IpAddr, IpAddr, bool) {
        (self.address, self.mask, self.ntpport)
    }
}

/// The mask of a network.
pub fn mask_of(network: Network) -> IpAddr {
    let bits = u32::from(network.bits());
    match network.address() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - bits).unwrap_or(0))),
    }
}

/// The whole list. There is always an entry for each family that holds every address.
#[derive(Debug, Clone)]
pub struct Restrictions {
    rules: Vec<Rule>,
    any_port: Table<usize>,
    ntp_port: Table<usize>,
    /// Entries whose mask has holes.
    holey: Vec<usize>,
    /// This host's addresses: what comes from there and from port 123 came from ourselves.
    own: Vec<Rule>,
    /// The servers that are asked, where `restrict source` says something about them.
    sources: Vec<Rule>,
}

impl Default for Restrictions {
    fn default() -> Self {
        let mut list = Self {
            rules: Vec::new(),
            any_port: Table::new(),
            ntp_port: Table::new(),
            holey: Vec::new(),
            own: Vec::new(),
            sources: Vec::new(),
        };
        for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            list.add(Rule::network(Network::new(any, 0), Flags::NONE));
        }
        list
    }
}

impl Restrictions {
    /// A list in which nothing is restricted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry; one of the same address, mask and port gains its flags.
    pub fn add(&mut self, rule: Rule) {
        if let Some(known) = self.rules.iter_mut().find(|known| known.rank() == rule.rank()) {
            known.flags = known.flags | rule.flags;
            return;
        }
        let place = self.rules.len();
        self.rules.push(rule);
        match rule.as_network() {
            Some(network) if rule.ntpport => self.ntp_port.set(network, place),
            Some(network) => self.any_port.set(network, place),
            None => self.holey.push(place),
        }
    }

    /// The addresses of this host from now on; those that stay keep their hits.
    pub fn set_own(&mut self, addresses: &[IpAddr]) {
        self.own = hosts(addresses, Flags::IGNORE, &self.own);
        self.own.iter_mut().for_each(|rule| (rule.ntpport, rule.own) = (true, true));
    }

    /// The servers that are asked, with these flags; who is named by a line of its own keeps that line's.
    pub fn set_sources(&mut self, addresses: &[IpAddr], flags: Flags) {
        let named = |address: &IpAddr| {
            let host = Rule::network(Network::host(*address), flags);
            self.rules.iter().any(|rule| (rule.address, rule.mask) == (host.address, host.mask))
        };
        let unnamed: Vec<IpAddr> = addresses.iter().filter(|address| !named(address)).copied().collect();
        self.sources = hosts(&unnamed, flags, &self.sources);
        self.sources.iter_mut().for_each(|rule| rule.source = true);
    }

    /// The flags that hold for a packet from an address; counts the hit. Mapped addresses count as IPv4.
    pub fn check(&mut self, from: SocketAddr) -> Flags {
        let place = self.place(from);
        let rule = match (self.own_place(from), self.source_place(from)) {
            (Some(place), _) => self.own.get_mut(place),
            (None, Some(place)) => self.sources.get_mut(place),
            (None, None) => place.and_then(|place| self.rules.get_mut(place)),
        };
        match rule {
            Some(rule) => {
                rule.hits += 1;
                rule.flags
            }
            None => Flags::NONE,
        }
    }

    /// The entry that decides about an address.
    pub fn find(&self, from: SocketAddr) -> Option<&Rule> {
        match (self.own_place(from), self.source_place(from)) {
            (Some(place), _) => self.own.get(place),
            (None, Some(place)) => self.sources.get(place),
            (None, None) => self.place(from).and_then(|place| self.rules.get(place)),
        }
    }

    fn source_place(&self, from: SocketAddr) -> Option<usize> {
        let address = from.ip().to_canonical();
        self.sources.iter().position(|rule| rule.address == address)
    }

    fn own_place(&self, from: SocketAddr) -> Option<usize> {
        let address = from.ip().to_canonical();
        self.own.iter().position(|rule| from.port() == NTP_PORT && rule.address == address)
    }

    fn place(&self, from: SocketAddr) -> Option<usize> {
        let address = from.ip().to_canonical();
        let ported = from.port() == NTP_PORT;
        let holey = self.holey.iter().copied().filter(|place| {
            self.rules.get(*place).is_some_and(|rule| rule.holds(address) && (ported || !rule.ntpport))
        });
        self.any_port
            .find(address)
            .into_iter()
            .chain(self.ntp_port.find(address).filter(|_| ported))
            .chain(holey)
            .max_by_key(|place| self.rules.get(*place).map(Rule::rank))
    }

    /// All entries, IPv4 before IPv6, the most specific first, as `reslist` shows them.
    pub fn list(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.rules.iter().chain(&self.own).chain(&self.sources).copied().collect();
        rules.sort_by_key(|rule| (rule.address.is_ipv6(), std::cmp::Reverse(rule.rank())));
        rules
    }
}

/// An entry for each address, with the hits that it had before.
fn hosts(addresses: &[IpAddr], flags: Flags, before: &[Rule]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for address in addresses {
        let rule = Rule::network(Network::host(*address), flags);
        if !rules.iter().any(|known| known.address == rule.address) {
            let hits = before.iter().find(|known| known.address == rule.address).map_or(0, |rule| rule.hits);
            rules.push(Rule { hits, ..rule });
        }
    }
    rules
}

/// What becomes of a packet that is no control message, before its contents count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is dropped without a word.
    Silence,
    /// It gets a kiss-o'-death `RATE`.
    Kiss,
    /// It is served when it carries a valid MAC.
    ServeAuthentic,
    /// It is served.
    Serve,
}

/// The verdict on a packet of mode 0 to 5. `excess` is what the rate limit says; `dice` a random number for `flake`.
pub fn judge(flags: Flags, version: u8, excess: Excess, dice: u64) -> Verdict {
    if flags.has(Flags::IGNORE)
        || flags.has(Flags::NOSERVE)
        || flags.has(Flags::VERSION) && version != 4
        || flags.has(Flags::FLAKE) && dice.is_multiple_of(10)
    {
        return Verdict::Silence;
    }
    match excess {
        Excess::None if flags.has(Flags::NOTRUST) => Verdict::ServeAuthentic,
        Excess::None => Verdict::Serve,
        Excess::Kiss if flags.has(Flags::KOD) => Verdict::Kiss,
        Excess::Kiss | Excess::Quiet => Verdict::Silence,
    }
}

/// What the rate limit says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// It is within the limit, or there is none.
    None,
    /// It is one too many; its sender may be told.
    Kiss,
    /// It is one too many.
    Quiet,
}

/// What an address may do with control messages (mode 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// It gets answers at all.
    pub query: bool,
    /// Its authenticated changes are made.
    pub modify: bool,
    /// It may see the list of clients.
    pub clients: bool,
}

/// What the flags of an address let it do with control messages.
pub fn control(flags: Flags) -> Control {
    let query = !flags.has(Flags::IGNORE) && !flags.has(Flags::NOQUERY);
    Control {
        query,
        modify: query && !flags.has(Flags::NOMODIFY),
        clients: query && !flags.has(Flags::NOMRULIST),
    }
}

/// The text of an entry in `reslist`, as 4.2.8p15 names it: what is restricted and what is left.
pub fn describe(rule: &Rule) -> String {
    let flags = rule.flags;
    let either = |flag: Flags, yes: &'static str, no: &'static str| if flags.has(flag) { no } else { yes };
    let only = |set: bool, word: &'static str| if set { word } else { "" };
    let has = |flag, word| only(flags.has(flag), word);
    let words = [
        only(rule.ntpport, "ntpport"),
        only(rule.own, "interface"),
        only(rule.source, "source"),
        has(Flags::IGNORE, "ignore"),
        either(Flags::NOSERVE, "serve", "noserve"),
        either(Flags::NOTRUST, "trust", "notrust"),
        has(Flags::VERSION, "version"),
        either(Flags::NOPEER, "peer", "nopeer"),
        either(Flags::NOEPEER, "epeer", "noepeer"),
        has(Flags::LIMITED, "limited"),
        either(Flags::NOQUERY, "query", "noquery"),
        has(Flags::NOMODIFY, "nomodify"),
        either(Flags::NOTRAP, "trap", "notrap"),
        has(Flags::LOWPRIOTRAP, "lptrap"),
        has(Flags::KOD, "kod"),
        has(Flags::MSSNTP, "mssntp"),
        has(Flags::FLAKE, "flake"),
        has(Flags::NOMRULIST, "nomrulist"),
    ];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str, mask: &str, flags: Flags) -> Rule {
        Rule::new(text.parse().unwrap(), mask.parse().unwrap(), flags)
    }

    fn from(text: &str, port: u16) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), port)
    }

    #[test]
    fn the_most_specific_entry_decides_and_repeating_adds() {
        let mut list = Restrictions::new();
        assert_eq!(list.check(from("8.8.8.8", 9)), Flags::NONE);
        list.add(rule("0.0.0.0", "0.0.0.0", Flags::NOQUERY));
        list.add(rule("10.1.2.3", "255.0.0.0", Flags::NOMODIFY));
        list.add(rule("10.1.0.0", "255.255.0.0", Flags::NONE));
        list.add(rule("10.1.0.0", "255.255.0.0", Flags::LIMITED));
        list.add(rule("10.1.0.0", "255.255.0.0", Flags::KOD));
        assert_eq!(list.check(from("8.8.8.8", 9)), Flags::NOQUERY);
        assert_eq!(list.check(from("10.9.9.9", 9)), Flags::NOMODIFY);
        assert_eq!(list.check(from("::ffff:10.1.9.9", 9)), Flags::LIMITED | Flags::KOD);
        assert_eq!(list.check(from("2001:db8::1", 9)), Flags::NONE);
        let hits: Vec<u64> = list.list().iter().map(|rule| rule.hits).collect();
        assert_eq!(hits, [1, 1, 2, 1]);
    }

    #[test]
    fn ntpport_entries_are_for_port_123_only() {
        let mut list = Restrictions::new();
        list.add(Rule { ntpport: true, ..rule("10.0.0.0", "255.0.0.0", Flags::IGNORE) });
        assert_eq!(list.check(from("10.1.1.1", 123)), Flags::IGNORE);
        assert_eq!(list.check(from("10.1.1.1", 124)), Flags::NONE);
        list.add(rule("10.0.0.0", "255.0.0.0", Flags::NOQUERY));
        assert_eq!(list.check(from("10.1.1.1", 123)), Flags::IGNORE);
        assert_eq!(list.check(from("10.1.1.1", 124)), Flags::NOQUERY);
    }

    #[test]
    fn what_comes_from_ourselves_is_ignored() {
        let mut list = Restrictions::new();
        list.set_own(&["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(list.check(from("10.0.0.1", 123)), Flags::IGNORE);
        assert_eq!(
            (list.check(from("10.0.0.1", 124)), list.check(from("::1", 9))),
            (Flags::NONE, Flags::NONE)
        );
        let own: Vec<u64> = list.list().iter().filter(|rule| rule.own).map(|rule| rule.hits).collect();
        assert_eq!(own, [1, 0]);
        // an address that stays keeps its hits; one that has gone is like any other
        list.set_own(&["10.0.0.1".parse().unwrap()]);
        assert_eq!(list.find(from("10.0.0.1", 123)).map(|rule| rule.hits), Some(1));
        assert_eq!(list.check(from("::1", 123)), Flags::NONE);
        let first = list.list()[0];
        assert_eq!(describe(&first), "ntpport interface ignore serve trust peer epeer query trap");
    }

    #[test]
    fn servers_that_are_asked_have_flags_of_their_own() {
        let mut list = Restrictions::new();
        list.add(rule("0.0.0.0", "0.0.0.0", Flags::IGNORE));
        list.add(rule("10.0.0.2", "255.255.255.255", Flags::NOSERVE));
        let servers = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        list.set_sources(&servers, Flags::NOQUERY);
        assert_eq!([123, 9].map(|port| list.check(from("10.0.0.1", port))), [Flags::NOQUERY; 2]);
        assert_eq!(list.check(from("10.0.0.2", 123)), Flags::NOSERVE);
        assert_eq!(list.check(from("10.0.0.3", 123)), Flags::IGNORE);
        let row = list.list().into_iter().find(|rule| rule.source).unwrap();
        assert_eq!((describe(&row).as_str(), row.hits), ("source serve trust peer epeer noquery trap", 2));
        list.set_sources(&[], Flags::NOQUERY);
        assert_eq!(list.check(from("10.0.0.1", 123)), Flags::IGNORE);
    }

    #[test]
    fn masks_with_holes_are_ranked_by_address_and_mask() {
        let mut list = Restrictions::new();
        list.add(rule("10.0.7.0", "255.0.255.0", Flags::NOSERVE));
        assert_eq!(list.check(from("10.99.7.1", 9)), Flags::NOSERVE);
        assert_eq!(list.check(from("10.99.8.1", 9)), Flags::NONE);
        list.add(rule("10.99.0.0", "255.255.0.0", Flags::NOTRAP));
        assert_eq!(list.check(from("10.99.7.1", 9)), Flags::NOTRAP);
    }

    #[test]
    fn flags_mean_what_they_say() {
        let ask = |flags| judge(flags, 4, Excess::None, 1);
        assert_eq!(ask(Flags::NONE), Verdict::Serve);
        assert_eq!(ask(Flags::NOQUERY | Flags::NOMODIFY | Flags::NOPEER | Flags::NOTRAP), Verdict::Serve);
        for closed in [Flags::IGNORE, Flags::NOSERVE] {
            assert_eq!(ask(closed), Verdict::Silence);
        }
        assert_eq!(ask(Flags::NOTRUST), Verdict::ServeAuthentic);
        assert_eq!(judge(Flags::VERSION, 3, Excess::None, 1), Verdict::Silence);
        assert_eq!(judge(Flags::VERSION, 4, Excess::None, 1), Verdict::Serve);
        assert_eq!(judge(Flags::FLAKE, 4, Excess::None, 20), Verdict::Silence);
        assert_eq!(judge(Flags::LIMITED | Flags::KOD, 4, Excess::Kiss, 1), Verdict::Kiss);
        assert_eq!(judge(Flags::LIMITED, 4, Excess::Kiss, 1), Verdict::Silence);
        assert_eq!(judge(Flags::LIMITED | Flags::KOD, 4, Excess::Quiet, 1), Verdict::Silence);
        assert_eq!(control(Flags::NOQUERY), Control { query: false, modify: false, clients: false });
        assert_eq!(control(Flags::IGNORE), Control { query: false, modify: false, clients: false });
        assert_eq!(control(Flags::NOMODIFY), Control { query: true, modify: false, clients: true });
        assert_eq!(control(Flags::NOSERVE), Control { query: true, modify: true, clients: true });
    }

    #[test]
    fn reslist_names_rights_and_restrictions() {
        let mut own = rule("127.0.0.1", "255.255.255.255", Flags::IGNORE);
        (own.ntpport, own.own) = (true, true);
        assert_eq!(describe(&own), "ntpport interface ignore serve trust peer epeer query trap");
        let closed =
            Flags::KOD | Flags::LIMITED | Flags::NOMODIFY | Flags::NOTRAP | Flags::NOPEER | Flags::NOQUERY;
        let text = describe(&Rule { flags: closed, ..own });
        assert_eq!(text, "ntpport interface serve trust nopeer epeer limited noquery nomodify notrap kod");
    }
}

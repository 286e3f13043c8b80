//! Rules by network: the longest prefix that holds an address decides. `allow`/`deny`, `cmdallow`/`cmddeny` and `restrict` use
//! one table each; a path-compressed binary trie per family keeps a look-up in 100 000 entries within a few cache lines.

use std::net::IpAddr;
use std::ops::{BitAnd, BitXor, Shl};

/// The end of a branch.
const NONE: u32 = u32::MAX;

/// A network: an address and how many of its leading bits count. Bits behind them are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of an address; more than 32 or 128 bits count as all of them (chronyd 4.9 does not refuse them).
    pub fn new(address: IpAddr, bits: u8) -> Self {
        let width = width(address);
        let bits = bits.min(width);
        let kept = key(address) & u128::mask(bits);
        let address = match address {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(kept >> 96).unwrap_or(0).into()),
            IpAddr::V6(_) => IpAddr::V6(kept.into()),
        };
        Self { address, bits }
    }

    /// The network of one address.
    pub fn host(address: IpAddr) -> Self {
        Self::new(address, width(address))
    }

    /// The first address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits count.
    pub const fn bits(self) -> u8 {
        self.bits
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The bits of an address, the first at the top.
trait Key: Copy + Eq + BitXor<Output = Self> + BitAnd<Output = Self> + Shl<u32, Output = Self> {
    /// How many there are.
    const WIDTH: u32;
    const ZERO: Self;
    const ONES: Self;
    fn leading_zeros(self) -> u32;

    /// The first `bits` of it.
    #[inline]
    fn mask(bits: u8) -> Self {
        if bits == 0 { Self::ZERO } else { Self::ONES << (Self::WIDTH - u32::from(bits)) }
    }

    /// 1 when the bit behind the first `bits` is set.
    #[inline]
    fn side(self, bits: u8) -> usize {
        let bits = u32::from(bits);
        usize::from(bits < Self::WIDTH && (self << bits).leading_zeros() == 0)
    }
}

impl Key for u32 {
    const WIDTH: u32 = 32;
    const ZERO: Self = 0;
    const ONES: Self = Self::MAX;
    #[inline]
    fn leading_zeros(self) -> u32 {
        self.leading_zeros()
    }
}

impl Key for u128 {
    const WIDTH: u32 = 128;
    const ZERO: Self = 0;
    const ONES: Self = Self::MAX;
    #[inline]
    fn leading_zeros(self) -> u32 {
        self.leading_zeros()
    }
}

/// The address with its first bit at the top of 128.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// One table of rules.
#[derive(Debug, Clone)]
pub struct Table<R> {
    v4: Trie<u32, R>,
    v6: Trie<u128, R>,
}

impl<R: Copy> Default for Table<R> {
    fn default() -> Self {
        Self { v4: Trie::new(), v6: Trie::new() }
    }
}

impl<R: Copy> Table<R> {
    /// A table without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the rule of a network; narrower rules inside it stay (`allow NET`).
    pub fn set(&mut self, network: Network, rule: R) {
        match network.address {
            IpAddr::V4(v4) => self.v4.set(v4.to_bits(), network.bits, Some(rule)),
            IpAddr::V6(v6) => self.v6.set(v6.to_bits(), network.bits, Some(rule)),
        };
    }

    /// Sets the rule of a network and drops all narrower ones inside it (`allow all NET`).
    pub fn set_all(&mut self, network: Network, rule: R) {
        match network.address {
            IpAddr::V4(v4) => {
                let node = self.v4.set(v4.to_bits(), network.bits, Some(rule));
                self.v4.prune(node);
            }
            IpAddr::V6(v6) => {
                let node = self.v6.set(v6.to_bits(), network.bits, Some(rule));
                self.v6.prune(node);
            }
        }
    }

    /// Drops the rule of exactly this network.
    pub fn unset(&mut self, network: Network) {
        match network.address {
            IpAddr::V4(v4) => self.v4.set(v4.to_bits(), network.bits, None),
            IpAddr::V6(v6) => self.v6.set(v6.to_bits(), network.bits, None),
        };
    }

    /// The rule of the narrowest network that holds the address; `None`: none does. Mapped addresses count as IPv4.
    pub fn find(&self, address: IpAddr) -> Option<R> {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.find_v4(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.find(v6.to_bits()),
        }
    }

    /// As [`Self::find`], of the IPv4 address with these bits.
    #[inline]
    pub fn find_v4(&self, bits: u32) -> Option<R> {
        self.v4.find(bits)
    }

    /// All rules of both families, in the order of their tries: wider before narrower.
    pub fn iter(&self) -> impl Iterator<Item = (Network, R)> {
        let v4 =
            self.v4.iter().map(|(k, bits, rule)| (Network { address: IpAddr::V4(k.into()), bits }, rule));
        v4.chain(
            self.v6.iter().map(|(k, bits, rule)| (Network { address: IpAddr::V6(k.into()), bits }, rule)),
        )
    }
}

#[derive(Debug, Clone)]
struct Node<K, R> {
    key: K,
    bits: u8,
    rule: Option<R>,
    children: [u32; 2],
}

/// A path-compressed binary trie in one block of memory; the root stands for the whole family.
#[derive(Debug, Clone)]
struct Trie<K, R> {
    nodes: Vec<Node<K, R>>,
    free: Vec<u32>,
}

impl<K: Key, R: Copy> Trie<K, R> {
    fn new() -> Self {
        Self {
            nodes: vec![Node { key: K::ZERO, bits: 0, rule: None, children: [NONE; 2] }],
            free: Vec::new(),
        }
    }

    fn node(&self, index: u32) -> Option<&Node<K, R>> {
        usize::try_from(index).ok().and_then(|i| self.nodes.get(i))
    }

    fn node_mut(&mut self, index: u32) -> Option<&mut Node<K, R>> {
        usize::try_from(index).ok().and_then(|i| self.nodes.get_mut(i))
    }

    #[inline]
    fn find(&self, key: K) -> Option<R> {
        let mut found = None;
        let mut next = 0;
        while let Some(node) = self.node(next) {
            if (node.key ^ key) & K::mask(node.bits) != K::ZERO {
                break;
            }
            found = node.rule.or(found);
            next = child(node, key);
        }
        found
    }

    /// Makes the node of a network, gives it this rule, and returns its index.
    fn set(&mut self, wanted: K, bits: u8, rule: Option<R>) -> u32 {
        let mut at = 0;
        loop {
            let Some(node) = self.node(at) else { return at };
            if node.bits == bits {
                if let Some(node) = self.node_mut(at) {
                    node.rule = rule;
                }
                return at;
            }
            let next = child(node, wanted);
            let Some(below) = self.node(next) else {
                let leaf = self.add(Node { key: wanted, bits, rule, children: [NONE; 2] });
                self.link(at, wanted, leaf);
                return leaf;
            };
            let (below_key, below_bits) = (below.key, below.bits);
            let common = u8::try_from(Key::leading_zeros(below_key ^ wanted)).unwrap_or(u8::MAX);
            if common >= below_bits && below_bits <= bits {
                at = next;
                continue;
            }
            // the paths part before the next node: a node in between
            let fork_bits = common.min(bits).min(below_bits);
            let fork = self.add(Node {
                key: wanted & K::mask(fork_bits),
                bits: fork_bits,
                rule: None,
                children: [NONE; 2],
            });
            self.link(at, wanted, fork);
            self.link(fork, below_key, next);
            at = fork;
        }
    }

    fn add(&mut self, node: Node<K, R>) -> u32 {
        match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.node_mut(index) {
                    *slot = node;
                }
                index
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        }
    }

    /// Hangs `below` under `above` on the side that `key` shows.
    fn link(&mut self, above: u32, key: K, below: u32) {
        if let Some(node) = self.node_mut(above) {
            let side = key.side(node.bits);
            if let Some(slot) = node.children.get_mut(side) {
                *slot = below;
            }
        }
    }

    /// Drops everything below a node.
    fn prune(&mut self, index: u32) {
        let Some(node) = self.node_mut(index) else { return };
        let mut doomed: Vec<u32> = std::mem::replace(&mut node.children, [NONE; 2]).to_vec();
        while let Some(next) = doomed.pop() {
            let Some(node) = self.node_mut(next) else { continue };
            doomed.extend(std::mem::replace(&mut node.children, [NONE; 2]));
            node.rule = None;
            self.free.push(next);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (K, u8, R)> {
        let mut open = vec![0];
        std::iter::from_fn(move || {
            while let Some(next) = open.pop() {
                let Some(node) = self.node(next) else { continue };
                open.extend(node.children.iter().rev());
                if let Some(rule) = node.rule {
                    return Some((node.key, node.bits, rule));
                }
            }
            None
        })
    }
}

#[inline]
fn child<K: Key, R>(node: &Node<K, R>, key: K) -> u32 {
    node.children.get(key.side(node.bits)).copied().unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::{Rng, SplitMix};

    fn net(text: &str) -> Network {
        let (address, bits) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), bits.parse().unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_narrowest_network_decides_whatever_the_order() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let rules = [(net("10.0.0.0/8"), 'a'), (net("10.1.0.0/16"), 'b'), (net("10.1.2.3/32"), 'c')];
            let mut table = Table::new();
            for place in order {
                table.set(rules[place].0, rules[place].1);
            }
            let found = ["10.9.9.9", "10.1.9.9", "10.1.2.3", "11.0.0.1"].map(|text| table.find(ip(text)));
            assert_eq!(found, [Some('a'), Some('b'), Some('c'), None]);
        }
    }

    #[test]
    fn all_drops_what_is_narrower_and_nothing_else() {
        let mut table = Table::new();
        table.set(net("10.1.0.0/16"), 'x');
        table.set(net("10.1.2.0/24"), 'y');
        table.set(net("10.2.0.0/16"), 'z');
        table.set_all(net("10.0.0.0/15"), 'n');
        assert_eq!(table.find(ip("10.1.2.3")), Some('n'));
        assert_eq!(table.find(ip("10.2.0.1")), Some('z'));
        assert_eq!(table.iter().count(), 2);
        table.set_all(net("0.0.0.0/0"), 'o');
        assert_eq!(table.iter().collect::<Vec<_>>(), [(net("0.0.0.0/0"), 'o')]);
    }

    #[test]
    fn families_are_apart_and_mapped_addresses_are_ipv4() {
        let mut table = Table::new();
        table.set(net("::/0"), 6);
        assert_eq!(table.find(ip("1.2.3.4")), None);
        assert_eq!(table.find(ip("::ffff:1.2.3.4")), None);
        table.set(net("1.2.3.4/32"), 4);
        assert_eq!(table.find(ip("::ffff:1.2.3.4")), Some(4));
        assert_eq!(table.find(ip("2001:db8::1")), Some(6));
        table.set(Network::host(ip("2001:db8::1")), 1);
        assert_eq!((table.find(ip("2001:db8::1")), table.find(ip("2001:db8::2"))), (Some(1), Some(6)));
    }

    /// Against the plain definition, over networks that lie close together.
    #[test]
    fn the_trie_agrees_with_a_list() {
        let mut rng = SplitMix::new(42);
        for round in 0..200 {
            let mut table = Table::new();
            let mut list: Vec<(Network, u64)> = Vec::new();
            let address = |rng: &mut SplitMix| {
                let bits = u32::try_from(rng.next_u64() >> 32).unwrap();
                IpAddr::V4((0x0a00_0000 | (bits & if round % 2 == 0 { 0xff } else { 0x00ff_ffff })).into())
            };
            for step in 0..60 {
                let network = Network::new(address(&mut rng), u8::try_from(rng.next_u64() % 33).unwrap());
                let holds = |inner: Network| {
                    inner.bits() >= network.bits() && Network::new(inner.address(), network.bits()) == network
                };
                match rng.next_u64() % 8 {
                    0 => {
                        table.set_all(network, step);
                        list.retain(|(inner, _)| !holds(*inner));
                        list.push((network, step));
                    }
                    1 => {
                        table.unset(network);
                        list.retain(|(other, _)| *other != network);
                    }
                    _ => {
                        table.set(network, step);
                        list.retain(|(other, _)| *other != network);
                        list.push((network, step));
                    }
                }
                for _ in 0..8 {
                    let probe = address(&mut rng);
                    let expected = list
                        .iter()
                        .filter(|(n, _)| Network::new(probe, n.bits()) == *n)
                        .max_by_key(|(n, _)| n.bits())
                        .map(|(_, rule)| *rule);
                    assert_eq!(table.find(probe), expected, "{probe} in {list:?}");
                }
            }
            assert_eq!(table.iter().count(), list.len());
        }
    }
}

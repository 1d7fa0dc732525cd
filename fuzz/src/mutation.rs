//! Inputs made from others: one from each pair of a seed and a number, always the same.

/// Makes inputs. Two mutators with the same seed and the same corpus make the same ones.
#[derive(Clone, Debug)]
pub struct Mutator {
    seed: u64,
    corpus: Vec<Vec<u8>>,
}

/// An input is at most this long, in bytes.
const INPUT_BYTES_MAX: usize = 1 << 16;

/// Bytes that decoders take for bounds: lengths, signs, ends of numbers.
const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x08, 0x12, 0x4a];

impl Mutator {
    /// Mutates `corpus`; the empty input is one of it always.
    pub fn new(seed: u64, mut corpus: Vec<Vec<u8>>) -> Self {
        corpus.push(Vec::new());
        Self { seed, corpus }
    }

    /// The input of this number.
    pub fn input(&self, number: u64) -> Vec<u8> {
        let mut random = SplitMix64(self.seed ^ SplitMix64(number).next());
        let mut input = self.corpus[random.below(self.corpus.len())].clone();
        for _ in 0..=random.below(8) {
            self.change(&mut input, &mut random);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&self, input: &mut Vec<u8>, random: &mut SplitMix64) {
        let at = random.below(input.len() + 1);
        let len = random.below((input.len() - at).min(64) + 1);
        match random.below(9) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = TELLING[random.below(TELLING.len())],
            2 if at < input.len() => input[at] = random.byte(),
            3 => input.insert(at, TELLING[random.below(TELLING.len())]),
            4 => {
                input.drain(at..at + len);
            }
            5 => {
                let again = input[at..at + len].to_vec();
                let times = 1 + random.below(4);
                input.splice(at..at, again.repeat(times));
            }
            6 => input.truncate(at),
            7 => {
                let other = &self.corpus[random.below(self.corpus.len())];
                let from = random.below(other.len() + 1);
                input.splice(at..at + len, other[from..].iter().copied());
            }
            _ => {
                let noise: Vec<u8> = (0..1 + random.below(16)).map(|_| random.byte()).collect();
                input.splice(at..at + len, noise);
            }
        }
    }
}

/// The generator of Steele, Lea and Flood (2014): small, and the same on every machine.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("lengths fit 64 bits");
        usize::try_from(self.next() % bound).expect("below a length")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_has_the_numbers_of_its_reference() {
        let mut random = SplitMix64(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn the_same_number_gives_the_same_input() {
        let one = Mutator::new(7, vec![b"a seed of the corpus".to_vec()]);
        let other = one.clone();
        let inputs: Vec<_> = (0..100).map(|n| one.input(n)).collect();
        assert!((0..100).all(|n| other.input(n) == inputs[usize::try_from(n).unwrap()]));
        let distinct: std::collections::BTreeSet<_> = inputs.iter().collect();
        assert!(distinct.len() > 60, "most of them differ");
    }
}

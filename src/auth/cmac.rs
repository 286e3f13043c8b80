//! AES-CMAC over the packet (RFC 4493; RFC 8573 for NTP; AES-256 as chrony and NTPsec have it).

use aes::{Aes128, Aes256};
use cmac::{Cmac, KeyInit, Mac};
use zeroize::Zeroizing;

/// The secret as a cipher's key; [`super::Key::new`] has given it the right length.
fn fit<const N: usize>(secret: &[u8]) -> Zeroizing<[u8; N]> {
    let mut key = Zeroizing::new([0; N]);
    for (slot, byte) in key.iter_mut().zip(secret) {
        *slot = *byte;
    }
    key
}

/// AES-128-CMAC; the key has 16 bytes.
pub(super) fn aes128(secret: &[u8], data: &[u8]) -> [u8; 16] {
    let key = fit::<16>(secret);
    Cmac::<Aes128>::new((&*key).into()).chain_update(data).finalize().into_bytes().into()
}

/// AES-256-CMAC; the key has 32 bytes.
pub(super) fn aes256(secret: &[u8], data: &[u8]) -> [u8; 16] {
    let key = fit::<32>(secret);
    Cmac::<Aes256>::new((&*key).into()).chain_update(data).finalize().into_bytes().into()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may say so by panicking")]
mod tests {
    use super::*;

    /// The message of NIST SP 800-38B, of which the vectors take prefixes.
    const MESSAGE: u128 = 0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a;

    fn message() -> Vec<u8> {
        [
            MESSAGE,
            0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51,
            0x30c8_1c46_a35c_e411_e5fb_c119_1a0a_52ef,
            0xf69f_2445_df4f_9b17_ad2b_417b_e66c_3710,
        ]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect()
    }

    #[test]
    fn rfc_4493_vectors() {
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
        for (len, expected) in [
            (0, 0xbb1d_6929_e959_3728_7fa3_7d12_9b75_6746_u128),
            (16, 0x070a_16b4_6b4d_4144_f79b_dd9d_d04a_287c),
            (40, 0xdfa6_6747_de9a_e630_30ca_3261_1497_c827),
            (64, 0x51f0_bebf_7e3b_9d92_fc49_7417_7936_3cfe),
        ] {
            assert_eq!(aes128(&key, &message()[..len]), expected.to_be_bytes(), "{len} bytes");
        }
    }

    #[test]
    fn nist_800_38b_aes_256_vectors() {
        let key: Vec<u8> =
            [0x603d_eb10_15ca_71be_2b73_aef0_857d_7781_u128, 0x1f35_2c07_3b61_08d7_2d98_10a3_0914_dff4]
                .iter()
                .flat_map(|word| word.to_be_bytes())
                .collect();
        for (len, expected) in [
            (0, 0x0289_62f6_1b7b_f89e_fc6b_551f_4667_d983_u128),
            (16, 0x28a7_023f_452e_8f82_bd4b_f28d_8c37_c35c),
            (40, 0xaaf3_d8f1_de56_40c2_32f5_b169_b9c9_11e6),
            (64, 0xe199_2190_549f_6ed5_696a_2c05_6c31_5410),
        ] {
            assert_eq!(aes256(&key, &message()[..len]), expected.to_be_bytes(), "{len} bytes");
        }
    }
}

#include "checksum.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace segment {

std::string checksum_of(const Bytes& bytes) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
        throw std::runtime_error("OpenSSL has no SHA-256");
    }
    const char* const digits = "0123456789abcdef";
    std::string text = "sha256:";
    for (unsigned i = 0; i < length; ++i) {
        text += digits[digest[i] >> 4U];
        text += digits[digest[i] & 15U];
    }
    return text;
}

}  // namespace segment

#include "files.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "error.h"

namespace segment {

namespace fs = std::filesystem;

Bytes read_file(const fs::path& path, std::uintmax_t most) {
    std::error_code error;
    if (!fs::exists(path, error)) throw std::runtime_error("no such file");
    if (!fs::is_regular_file(path, error)) throw std::runtime_error("not a file");
    const std::uintmax_t size = fs::file_size(path, error);
    if (error) throw std::runtime_error(error.message());
    if (size > most) {
        throw std::runtime_error(std::to_string(size) + " bytes are more than this program reads (" +
                                 std::to_string(most) + ")");
    }
    std::ifstream file(path, std::ios::binary);
    Bytes bytes(size);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    if (!file) throw std::runtime_error(std::strerror(errno != 0 ? errno : EIO));
    return bytes;
}

void write_file(const fs::path& path, const Bytes& bytes) {
    // Of a long name a part is enough to find what a killed process left.
    const std::string name = path.filename().string().substr(0, 50);
    const fs::path part = path.parent_path() / ("." + name + "." + std::to_string(getpid()) + ".part");
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    errno = 0;
    std::ofstream file(part, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    std::string reason = file ? "" : std::strerror(errno != 0 ? errno : EIO);
    if (file) {
        fs::rename(part, path, error);
        if (error) reason = error.message();
    }
    if (!reason.empty()) {
        fs::remove(part, error);
        throw UserError(path.string() + ": cannot be written: " + reason);
    }
}

void make_writable(const fs::path& folder) {
    std::error_code error;
    if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
        throw UserError("--save_dir " + folder.string() + ": this is a file; name a folder");
    }
    fs::create_directories(folder, error);
    if (error || access(folder.c_str(), W_OK | X_OK) != 0) {
        const std::string reason = error ? error.message() : std::strerror(errno);
        throw UserError("--save_dir " + folder.string() + ": cannot be written (" + reason + "); choose another");
    }
}

}  // namespace segment

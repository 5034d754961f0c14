#include "png.h"

#include <png.h>

#include <csetjmp>
#include <cstring>
#include <string>

#include "decode.h"
#include "error.h"

namespace segment {

namespace {

// libpng leaves by longjmp. So what has a destructor lives outside of `guarded`, and what runs inside makes no such
// objects.
struct Source {
    const std::uint8_t* next;
    std::size_t left;
    char message[128];
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
    auto* const source = static_cast<Source*>(png_get_error_ptr(png));
    std::strncpy(source->message, text, sizeof source->message - 1);
    png_longjmp(png, 1);
}

void on_warning(png_structp /*png*/, png_const_charp /*text*/) {}

void on_read(png_structp png, png_bytep target, png_size_t size) {
    auto* const source = static_cast<Source*>(png_get_io_ptr(png));
    if (size > source->left) png_error(png, "the file is cut short");
    std::memcpy(target, source->next, size);
    source->next += size;
    source->left -= size;
}

class Reader {
public:
    explicit Reader(const Bytes& file) : source_{file.data(), file.size(), {}} {
        png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, on_error, on_warning);
        if (png != nullptr) info = png_create_info_struct(png);
        if (info == nullptr) {
            png_destroy_read_struct(&png, nullptr, nullptr);
            throw std::bad_alloc();
        }
        png_set_read_fn(png, &source_, on_read);
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }

    template <typename Body>
    void guarded(Body body) {
        if (setjmp(png_jmpbuf(png)) != 0) {
            throw ImageError(std::string("cannot be decoded as PNG: ") + source_.message + "; copy it again");
        }
        body();
    }

    png_structp png = nullptr;
    png_infop info = nullptr;

private:
    Source source_;
};

void read_header(Reader& reader) {
    reader.guarded([&reader] {
        // The size is checked below, with a message of its own.
        png_set_user_limits(reader.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
        png_read_info(reader.png, reader.info);
    });
}

// Whatever the file holds becomes 8-bit RGB or grey, as OpenCV does it.
void set_conversions(Reader& reader, std::size_t channels) {
    reader.guarded([&reader, channels] {
        const auto kind = png_get_color_type(reader.png, reader.info);
        png_set_strip_16(reader.png);
        png_set_strip_alpha(reader.png);
        if (kind == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(reader.png);
        if (kind == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(reader.png);
        if (channels == 3) {
            png_set_gray_to_rgb(reader.png);
        } else {
            png_set_rgb_to_gray(reader.png, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
        }
        png_set_interlace_handling(reader.png);
        png_read_update_info(reader.png, reader.info);
    });
}

int orientation_of(Reader& reader) {
    png_bytep data = nullptr;
    png_uint_32 size = 0;
    const bool has_exif = png_get_eXIf_1(reader.png, reader.info, &size, &data) != 0;
    return has_exif ? exif_orientation(data, size) : 1;
}

Bytes encode(png_image& image, const void* pixels, const void* colours) {
    image.version = PNG_IMAGE_VERSION;
    image.flags = PNG_IMAGE_FLAG_FAST;
    Bytes bytes(PNG_IMAGE_PNG_SIZE_MAX(image));
    png_alloc_size_t size = bytes.size();
    if (png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels, 0, colours) == 0) {
        throw ImageError(std::string("the result cannot be encoded: ") + image.message);
    }
    bytes.resize(size);
    return bytes;
}

png_image describe(Size size, png_uint_32 format) {
    png_image image{};
    image.width = static_cast<png_uint_32>(size.width);
    image.height = static_cast<png_uint_32>(size.height);
    image.format = format;
    return image;
}

Bytes to_bytes(const Labels& labels) { return Bytes(labels.ids.begin(), labels.ids.end()); }

}  // namespace

Decoded decode_png(const Bytes& file, std::size_t channels) {
    // Deflate packs at most 1032 bytes into one, a byte holds up to 8 pixels.
    constexpr std::size_t kMostPerByte = 1032 * 8;
    Reader reader(file);
    read_header(reader);
    const Size size{png_get_image_height(reader.png, reader.info), png_get_image_width(reader.png, reader.info)};
    check_size(size, file.size(), kMostPerByte);
    set_conversions(reader, channels);
    Decoded decoded{{size, channels, Bytes(size.area() * channels)}, 1};
    if (png_get_rowbytes(reader.png, reader.info) != size.width * channels) {
        throw ImageError("cannot be decoded as PNG: of an unknown kind");
    }
    std::vector<png_bytep> rows(size.height);
    for (std::size_t y = 0; y < size.height; ++y) rows[y] = decoded.picture.bytes.data() + y * size.width * channels;
    reader.guarded([&reader, &rows] {
        png_read_image(reader.png, rows.data());
        png_read_end(reader.png, reader.info);
    });
    decoded.orientation = orientation_of(reader);
    return decoded;
}

Bytes encode_picture(const Picture& picture) {
    png_image image = describe(picture.size, PNG_FORMAT_RGB);
    return encode(image, picture.bytes.data(), nullptr);
}

Bytes encode_labels(const Labels& labels) {
    png_image image = describe(labels.size, labels.is_wide ? PNG_FORMAT_LINEAR_Y : PNG_FORMAT_GRAY);
    if (labels.is_wide) return encode(image, labels.ids.data(), nullptr);
    return encode(image, to_bytes(labels).data(), nullptr);
}

Bytes encode_painted(const Labels& labels, const Palette& palette) {
    if (labels.is_wide) return encode_picture(painted(labels, palette));
    png_image image = describe(labels.size, PNG_FORMAT_RGB_COLORMAP);
    image.colormap_entries = static_cast<png_uint_32>(palette.size());
    return encode(image, to_bytes(labels).data(), palette.data());
}

}  // namespace segment

/* lfic in C: learned face images of 50 to 1,500 bytes <-> pixels. Integers throughout: every machine gives equal bytes.
 *
 *     lfic_model* model;
 *     if (lfic_model_open("face-v2.safetensors", &model) != LFIC_OK) fail(lfic_error());
 *     lfic_info info;
 *     if (lfic_probe(data, size, 0, &info) != LFIC_OK) fail(lfic_error());
 *     unsigned char* rgb = malloc((size_t)3 * info.width * info.height);
 *     if (lfic_decode(model, data, size, NULL, rgb, (size_t)3 * info.width * info.height) != LFIC_OK)
 * fail(lfic_error());
 *
 * Pixels are RGB, three bytes each, rows from the top, without gaps unless a stride says otherwise. Every buffer is the
 * caller's, and no function keeps one. No exception leaves the library, and bad input never ends the process: what is
 * wrong is said by the status, and in words by lfic_error(). A model may be used by many threads at once.
 */
#ifndef LFIC_H
#define LFIC_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(LFIC_SHARED)
#ifdef LFIC_BUILDING
#define LFIC_API __declspec(dllexport)
#else
#define LFIC_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define LFIC_API __attribute__((visibility("default")))
#else
#define LFIC_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Of this header; structures grow at their end alone, and only with the first number. */
#define LFIC_API_VERSION 1

/* Pixels of a face layer's and of the template's side. */
#define LFIC_SIDE 112

typedef enum lfic_status {
    LFIC_OK = 0,
    LFIC_INVALID_INPUT = 1, /* an argument is out of its range */
    LFIC_CONTAINER = 2,     /* no lfic file, or one of a version, model or size that is not read here */
    LFIC_CORRUPT = 3,       /* a damaged file */
    LFIC_BAD_WEIGHTS = 4,   /* a weights file is missing, damaged, or lacks what the call needs */
    LFIC_TOO_SMALL = 5,     /* the caller's buffer: *size says what is needed, where there is one */
    LFIC_NO_MEMORY = 6,
    LFIC_INTERNAL = 7 /* a fault of lfic: please report it */
} lfic_status;

/* What the last call of this thread that failed had to say: what was found, what is allowed. Never null. */
LFIC_API const char* lfic_error(void);
/* LFIC_API_VERSION of the library. */
LFIC_API int lfic_api_version(void);

/* The networks and the entropy model, read-only once they are there. */
typedef struct lfic_model lfic_model;

/* Of a weights file (.safetensors), or of its bytes, which may be freed afterwards. *model is null where it fails.
 * face-v2 codes what stands on the template by the networks of face-v1: lfic_model_open takes face-v1.safetensors beside
 * it, and lfic_model_load needs both in one file, which csrc/wasm/weights.py writes (lfic_model_open takes that as
 * well). Such a model reads face-v1's files too. */
LFIC_API lfic_status lfic_model_open(const char* path, lfic_model** model);
LFIC_API lfic_status lfic_model_load(const void* weights, size_t size, lfic_model** model);
/* Null is allowed. */
LFIC_API void lfic_model_free(lfic_model* model);

/* What a file says of itself. */
typedef struct lfic_info {
    uint32_t width, height; /* pixels */
    int version;            /* of the format: 1; 2 for a photo of layers or a picture coded smaller; 3 for any other grey
                               picture; 4 more (5, 6, 7) where `model` is 1 */
    int model;              /* 0 face-v1, 1 face-v2, 255 private weights */
    int quality;            /* 1 to 100: of the picture, or of the background of one with layers; 0 without one */
    int aligned;            /* 1: a face on the template */
    int checksum;           /* 1: the file ends with one, and it is right */
    int scale;              /* of what was coded (of the background), in 64ths of the picture's sides: 64 is all */
    int layers;             /* faces painted over the background: 0 to 64 */
    int grey;               /* 1: shown without colour */
    size_t payload_bytes;   /* of all streams */
} lfic_info;

/* Reads the header alone: no model, no memory. max_pixels: of the picture; 0 is 50000000. */
LFIC_API lfic_status lfic_probe(const void* file, size_t size, uint64_t max_pixels, lfic_info* info);

/* A bare stream, as a QR code holds it, -> the file that says the same, without a checksum; a file stays as it is.
 * There is no magic: a first byte below 200 begins a bare stream. *size: room in `file`, then the file's bytes, at most
 * three more than the stream's; on LFIC_TOO_SMALL what is needed. */
LFIC_API lfic_status lfic_file_of_bare(const void* bare, size_t bare_size, void* file, size_t* size);

/* Fill with lfic_decode_defaults first, or give null for them. */
typedef struct lfic_decode_options {
    uint64_t max_pixels; /* 0: 50000000 */
    size_t stride;       /* bytes from row to row; 0: three times the width */
    int threads;         /* 0: one a core; 1 by default */
} lfic_decode_options;
LFIC_API void lfic_decode_defaults(lfic_decode_options* options);

/* File -> pixels. capacity: bytes of rgb, at least (height - 1) * stride + 3 * width. */
LFIC_API lfic_status lfic_decode(const lfic_model* model, const void* file, size_t size,
                                 const lfic_decode_options* options, void* rgb, size_t capacity);

/* Face layer `index` as it was coded, on the template: *side x *side pixels, 112, or 224 or 448 of a large face at a
 * high quality. capacity: bytes of rgb; on LFIC_TOO_SMALL nothing is decoded and *side is told. matrix: the transform
 * from these pixels to the picture's, two rows of three, integers being pixel centres; may be null. quality: may be
 * null. A file of one aligned face has that one at index 0. */
LFIC_API lfic_status lfic_decode_face(const lfic_model* model, const void* file, size_t size, int index, void* rgb,
                                      size_t capacity, int* side, double matrix[6], int* quality);

/* The level, 0 to 2, of each region of 32 x 32 pixels of the picture or its background, in raster order; *count: room
 * for so many, then how many there are. */
LFIC_API lfic_status lfic_levels(const lfic_model* model, const void* file, size_t size, uint8_t* levels,
                                 size_t* count);

/* Fill with lfic_encode_defaults first, or give null for them. */
typedef struct lfic_encode_options {
    int quality;      /* 1 to 100; 40 by default */
    int aligned;      /* 1 the face stands on the template, 0 not, -1 (by default) as its symbols say */
    int checksum;     /* 1 by default */
    int threads;      /* 0: one a core; 1 by default */
    size_t max_bytes; /* not 0: the largest quality whose file has at most so many bytes; quality is not read */
    size_t stride;    /* bytes from row to row; 0: three times the width */
    int full;         /* 1: a picture is never coded smaller than it is; 0 by default: below quality 63 it may be */
} lfic_encode_options;
LFIC_API void lfic_encode_defaults(lfic_encode_options* options);

/* Pixels -> file, as lfic in Python writes it at effort 0, to the byte. *size: room in `file`, then the file's bytes.
 * On LFIC_TOO_SMALL nothing is written and *size is what the file has; `file` may be null where *size is 0. */
LFIC_API lfic_status lfic_encode(const lfic_model* model, const void* rgb, uint32_t width, uint32_t height,
                                 const lfic_encode_options* options, void* file, size_t* size);

#ifdef __cplusplus
}
#endif
#endif

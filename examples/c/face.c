/* Faces on the command line, in C:
 *
 *     face decode a.lfic a.ppm
 *     face encode a.ppm a.lfic [QUALITY, or BYTESb for at most so many bytes]
 *
 * Pictures are binary PPM of 8 bits, which most programs read and write. LFIC_WEIGHTS, in the environment or when this
 * is compiled, is the path of the weights.
 */
#include <errno.h>
#include <lfic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef LFIC_WEIGHTS
#define LFIC_WEIGHTS "face-v2.safetensors"
#endif

static void stop(const char *what, const char *why) {
    fprintf(stderr, "face: %s: %s\n", what, why);
    exit(1);
}

static void check(lfic_status status, const char *what) {
    if (status != LFIC_OK) stop(what, lfic_error());
}

static void *room_for(size_t size) {
    void *out = malloc(size ? size : 1);
    if (!out) stop("memory", "there is not enough");
    return out;
}

static unsigned char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    size_t room = 1 << 16;
    unsigned char *out;
    if (!file) stop(path, strerror(errno));
    out = room_for(room);
    *size = 0;
    for (;;) {
        const size_t got = fread(out + *size, 1, room - *size, file);
        *size += got;
        if (!got) break;
        if (*size == room) {
            out = realloc(out, room *= 2);
            if (!out) stop("memory", "there is not enough");
        }
    }
    if (ferror(file)) stop(path, "can't be read");
    fclose(file);
    return out;
}

static void write_all(const char *path, const char *head, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file) stop(path, strerror(errno));
    if (fwrite(head, 1, strlen(head), file) != strlen(head) || fwrite(data, 1, size, file) != size || fclose(file))
        stop(path, "can't be written");
}

/* A number of a PPM's head, after white space and comments. */
static unsigned long number(const unsigned char *data, size_t size, size_t *at) {
    unsigned long n = 0;
    int digits = 0;
    for (; *at < size; ++*at) {
        if (data[*at] == '#')
            while (*at < size && data[*at] != '\n') ++*at;
        else if (!strchr(" \t\r\n", data[*at]))
            break;
    }
    for (; *at < size && data[*at] >= '0' && data[*at] <= '9' && digits < 8; ++*at, ++digits)
        n = 10 * n + (unsigned long)(data[*at] - '0');
    if (!digits) stop("the picture", "is no binary PPM");
    return n;
}

static void decode(const lfic_model *model, const char *from, const char *to) {
    size_t size, pixels;
    unsigned char *file = read_all(from, &size), *rgb;
    lfic_info info;
    char head[64];
    check(lfic_probe(file, size, 0, &info), from);
    pixels = (size_t)3 * info.width * info.height;
    rgb = room_for(pixels);
    check(lfic_decode(model, file, size, NULL, rgb, pixels), from);
    snprintf(head, sizeof head, "P6\n%lu %lu\n255\n", (unsigned long)info.width, (unsigned long)info.height);
    write_all(to, head, rgb, pixels);
    free(rgb);
    free(file);
}

static void encode(const lfic_model *model, const char *from, const char *to, const char *wanted) {
    size_t size, at = 2, bytes = 1 << 12;
    unsigned char *picture = read_all(from, &size), *file = room_for(bytes);
    unsigned long width, height, most;
    lfic_encode_options options;
    lfic_status status;
    if (size < 2 || memcmp(picture, "P6", 2)) stop(from, "is no binary PPM");
    width = number(picture, size, &at);
    height = number(picture, size, &at);
    most = number(picture, size, &at);
    if (most != 255 || ++at > size || !width || !height || (size - at) / 3 / width < height)
        stop(from, "is no whole PPM of 8 bits");
    lfic_encode_defaults(&options);
    if (wanted[strlen(wanted) - 1] == 'b')
        options.max_bytes = strtoul(wanted, NULL, 10);
    else
        options.quality = (int)strtol(wanted, NULL, 10);
    status = lfic_encode(model, picture + at, (uint32_t)width, (uint32_t)height, &options, file, &bytes);
    if (status == LFIC_TOO_SMALL) {
        free(file);
        file = room_for(bytes);
        status = lfic_encode(model, picture + at, (uint32_t)width, (uint32_t)height, &options, file, &bytes);
    }
    check(status, from);
    write_all(to, "", file, bytes);
    free(file);
    free(picture);
}

int main(int argc, char **argv) {
    lfic_model *model;
    const char *weights = getenv("LFIC_WEIGHTS");
    const int decoding = argc == 4 && !strcmp(argv[1], "decode");
    const int encoding = (argc == 4 || (argc == 5 && *argv[4])) && !strcmp(argv[1], "encode");
    if (!decoding && !encoding) {
        fprintf(stderr, "usage: face decode FILE.lfic FILE.ppm | face encode FILE.ppm FILE.lfic [QUALITY | BYTESb]\n");
        return 2;
    }
    check(lfic_model_open(weights ? weights : LFIC_WEIGHTS, &model), "weights");
    if (decoding)
        decode(model, argv[2], argv[3]);
    else
        encode(model, argv[2], argv[3], argc == 5 ? argv[4] : "40");
    lfic_model_free(model);
    return 0;
}

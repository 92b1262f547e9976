/* Random streams of frames for the driver. The same seed generates the same streams. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define STREAM_MAX 65536

struct stream {
  size_t len;
  uint8_t bytes[STREAM_MAX];
};

void seed_random(uint64_t seed);
uint32_t random_below(uint32_t limit);

void request_frames(struct stream *s);
void run_frame(struct stream *s);
void command_frames(struct stream *s);
void shell_frames(struct stream *s);
/* Damages it, usually but not always. */
void mutate(struct stream *s);

#endif

/* The native step in threads of our own, each with a part of the tasks, for ThreadSanitizer, which does not know what
 * OpenMP's library orders. Includes the step itself; arguments: how many tensors, elements of the first. */

#include NATIVE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, CHUNK_SIZE = 1000, SLOTS = 2, WIDTH = 12 };

typedef struct {
    Work work;
    double *squares;
    pthread_t thread;
} Part;

static void *run(void *argument) {
    Part *part = argument;
    cmbench_measure(&part->work, 1, part->squares);
    cmbench_step(&part->work, 1, part->squares);
    return 0;
}

static void *filled(int64_t n, size_t bytes) {
    unsigned char *memory = calloc((size_t)n + 1, bytes);
    for (int64_t i = 0; i < n; i++)
#if PARAM == F32
        ((float *)memory)[i] = (float)(i % 7) / 7 + 0.1f;
#else
        memory[i * (int64_t)bytes] = (unsigned char)(i % 7);
#endif
    return memory;
}

int main(int argc, char **argv) {
    const int64_t count = argc > 1 ? atoll(argv[1]) : 3;
    int64_t n = argc > 2 ? atoll(argv[2]) : 10001;
    int64_t *tensor = calloc(1 << 16, 8), *begin = calloc(1 << 16, 8), *length = calloc(1 << 16, 8), chunks = 0;
    uintptr_t *addresses = calloc((size_t)(ADDRESSES * count), sizeof(uintptr_t));
    double *coefficients = calloc((size_t)(count * WIDTH), 8), *squares = calloc(1 << 16, 8);
    for (int64_t t = 0; t < count; t++, n = n / 2 + 1) {
        for (int row = 0; row < ADDRESSES; row++)
            addresses[row * count + t] = (uintptr_t)filled(row == SLOT_AT ? SLOTS * n : n, sizeof(wide));
        for (int k = 0; k < WIDTH; k++) coefficients[t * WIDTH + k] = 0.5;
        for (int64_t at = 0; at < n; at += CHUNK_SIZE, chunks++) {
            tensor[chunks] = t;
            begin[chunks] = at;
            length[chunks] = n - at < CHUNK_SIZE + OVERLAP ? n - at : CHUNK_SIZE + OVERLAP;
        }
    }
    Part parts[THREADS];
    for (int64_t i = 0; i < THREADS; i++) {
        const int64_t first = i * chunks / THREADS, last = (i + 1) * chunks / THREADS;
        int64_t *end = calloc(1, 8);
        *end = last - first;
        parts[i].work = (Work){last > first, count, WIDTH, 1, end, tensor + first, begin + first, length + first,
                               addresses, coefficients};
        parts[i].squares = squares + first;
    }
    for (int i = 0; i < THREADS; i++) pthread_create(&parts[i].thread, 0, run, &parts[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(parts[i].thread, 0);
    double sum = 0;
    for (int64_t k = 0; k < chunks; k++) sum += squares[k];
    printf("%ld chunks, %g\n", (long)chunks, sum);
    return 0;
}

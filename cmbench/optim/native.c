/* One step of a rule with a memory over all tensors of a parameter group, in one pass over their memory.
 *
 * Compiled for one rule, one memory, one type of parameters and one of slots:
 *     RULE      ADAM, SGD, RMSPROP
 *     MEMORY    CM, CG
 *     PARAM     F32, F64, BF16, F16: of parameters, gradients and state; computed in is double for F64, else float
 *     SLOT      the same: of the buffer's entries; their sum has the type that is computed in
 *     LANEWISE  1 for the step of lanes too, each of which decides by itself
 *
 * The arithmetic is that of `update.advance` with the rule's own file, which are the reference. Nothing here knows
 * about torch: addresses and numbers come in, and the squares of the gradients go out.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* From 1 on: a name that is none of these is 0 to the preprocessor. */
#define F32 1
#define F64 2
#define BF16 3
#define F16 4
#define ADAM 1
#define SGD 2
#define RMSPROP 3
#define CM 1
#define CG 2

#if !RULE || !MEMORY || !PARAM || !SLOT
#error "RULE, MEMORY, PARAM and SLOT: one of the names above each"
#endif

#if PARAM == F64
typedef double wide;
#define ROOT sqrt
#else
typedef float wide;
#define ROOT sqrtf
#endif

/* A mean of squares that has overflown stays infinite, as in torch's classes: inf - inf would be NaN. */
static inline wide overflown_or(wide v) { return v == v ? v : (wide)INFINITY; }

/* bfloat16: the upper half of a float, rounded to nearest even. */
static inline float from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

#if PARAM == F32
typedef float param_t;
#elif PARAM == F64
typedef double param_t;
#elif PARAM == BF16
typedef uint16_t param_t;
#else
typedef _Float16 param_t;
#endif

#if PARAM == BF16
#define LOAD(x) from_bf16(x)
#define STORE(x) to_bf16(x)
#else
#define LOAD(x) ((wide)(x))
#define STORE(x) ((param_t)(x))
#endif

#if SLOT == F32
typedef float slot_t;
#elif SLOT == F64
typedef double slot_t;
#elif SLOT == BF16
typedef uint16_t slot_t;
#else
typedef _Float16 slot_t;
#endif

#if SLOT == BF16
#define LOAD_SLOT(x) ((wide)from_bf16(x))
#define STORE_SLOT(x) to_bf16((float)(x))
#elif SLOT == F16 /* by way of float, as torch rounds a double */
#define LOAD_SLOT(x) ((wide)(x))
#define STORE_SLOT(x) ((slot_t)(float)(x))
#else
#define LOAD_SLOT(x) ((wide)(x))
#define STORE_SLOT(x) ((slot_t)(x))
#endif

enum { PARAM_AT, GRAD_AT, MEMORY_AT, MOMENTUM_AT, SQUARE_AT, TOTAL_AT, SLOT_AT, ADDRESSES };
enum { SIGN, L2, RENEWAL, SCALE, SHRINKAGE, NUMBERS };

/* When the entry goes into the slot that was chosen for it: not at all, at the start, when it is that of the step
 * before and still in the memory's state, or as soon as it is known. */
enum { NEVER, BEFORE, AFTER };

#define INLINE static inline __attribute__((always_inline))

/* What a chunk is updated by; `when` and `has_momentum` are constants wherever it is used, and so the loop is made for
 * them alone. Sums are taken in LANES, which do not depend on how wide the processor's vectors are. */
enum { LANES = 16 };

typedef struct {
    param_t *param;
    const param_t *grad;
    param_t *memory, *momentum, *square;
    wide *total;
    slot_t *slot;
} Place;

INLINE void update(Place place, const int64_t at, const int n, const double *coefficients, wide *norm, const int when,
                   const int has_momentum) {
    param_t *restrict param = place.param, *restrict memory = place.memory;
    param_t *restrict momentum = place.momentum, *restrict square = place.square;
    const param_t *restrict grad = place.grad;
    wide *restrict total = place.total;
    slot_t *restrict slot = place.slot;
    const wide sign = (wide)coefficients[SIGN], l2 = (wide)coefficients[L2];
    const wide scale = (wide)coefficients[SCALE], shrinkage = (wide)coefficients[SHRINKAGE];
    const double *numbers = coefficients + NUMBERS;
#pragma omp simd
    for (int lane = 0; lane < n; lane++) {
        const int64_t i = at + lane;
        wide p = LOAD(param[i]), sum = total[i];
        const wide g = sign * LOAD(grad[i]) + l2 * p;
        norm[lane] += g * g;
#if MEMORY == CM
        wide entry = LOAD(memory[i]);
        if (when == BEFORE) {
            const slot_t kept = STORE_SLOT(entry);
            sum += LOAD_SLOT(kept) - LOAD_SLOT(slot[i]);
            slot[i] = kept;
            total[i] = sum;
        }
        entry += (wide)coefficients[RENEWAL] * (g - entry);
        memory[i] = STORE(entry);
#else
        const wide entry = g;
#endif
        const wide aggregate = entry + sum * scale;
        if (when == AFTER) {
            const slot_t kept = STORE_SLOT(entry);
            total[i] = sum + (LOAD_SLOT(kept) - LOAD_SLOT(slot[i]));
            slot[i] = kept;
        }
        wide direction = aggregate;
        p *= shrinkage;
#if RULE == ADAM
        /* numbers: 1 - beta1, 1 - beta2, alpha / (1 - beta1^t), 1 / sqrt(1 - beta2^t), epsilon */
        if (has_momentum) {
            direction = LOAD(momentum[i]);
            direction += (wide)numbers[0] * (aggregate - direction);
            momentum[i] = STORE(direction);
        }
        wide v = LOAD(square[i]);
        v = overflown_or(v + (wide)numbers[1] * (aggregate * aggregate - v));
        square[i] = STORE(v);
        p -= (wide)numbers[2] * (direction / (ROOT(v) * (wide)numbers[3] + (wide)numbers[4]));
#elif RULE == SGD
        /* numbers: alpha, mu */
        if (has_momentum) {
            direction += (wide)numbers[1] * LOAD(momentum[i]);
            momentum[i] = STORE(direction);
        }
        p -= (wide)numbers[0] * direction;
#else
        /* numbers: alpha, 1 - a, epsilon, mu */
        wide v = LOAD(square[i]);
        v = overflown_or(v + (wide)numbers[1] * (aggregate * aggregate - v));
        square[i] = STORE(v);
        wide move = direction / (ROOT(v) + (wide)numbers[2]);
        if (has_momentum) {
            move += (wide)numbers[3] * LOAD(momentum[i]);
            momentum[i] = STORE(move);
        }
        p -= (wide)numbers[0] * move;
#endif
        param[i] = STORE(p);
    }
}

static inline double total_of(const wide *lanes) {
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += (double)lanes[lane];
    return sum;
}

/* Over all of a chunk; returns the sum of the gradient's squares. */
INLINE double sweep(Place place, const int64_t n, const double *coefficients, const int when, const int has_momentum) {
    wide norm[LANES] = {0};
    int64_t at = 0;
    for (; at + LANES <= n; at += LANES) update(place, at, LANES, coefficients, norm, when, has_momentum);
    update(place, at, (int)(n - at), coefficients, norm, when, has_momentum);
    return total_of(norm);
}

/* The sum of squares of what ranks the entry of one chunk: of the entry itself, or of the gradient. */
INLINE double measure(const Place place, const int64_t count, const double *coefficients, const int of_entry) {
    const param_t *restrict param = place.param, *restrict grad = place.grad, *restrict memory = place.memory;
    const wide sign = (wide)coefficients[SIGN], l2 = (wide)coefficients[L2], renewal = (wide)coefficients[RENEWAL];
    wide norm[LANES] = {0};
    for (int64_t at = 0; at < count; at += LANES) {
        const int n = count - at < LANES ? (int)(count - at) : LANES;
#pragma omp simd
        for (int lane = 0; lane < n; lane++) {
            const int64_t i = at + lane;
            wide ranked = sign * LOAD(grad[i]) + l2 * LOAD(param[i]);
            if (of_entry) ranked = LOAD(memory[i]) + renewal * (ranked - LOAD(memory[i]));
            norm[lane] += ranked * ranked;
        }
    }
    return total_of(norm);
}

/* Chunk k is the elements from begin[k] on, length[k] of them, of tensor[k]; tasks of whole chunks, task j up to chunk
 * ends[j], are shared among threads. `addresses` (ADDRESSES, count) and `coefficients` (count, width) belong to the
 * tensors; an address is 0 where there is no such state, and no slot for the entry. */
typedef struct {
    int64_t tasks, count, width, threads;
    const int64_t *ends, *tensor, *begin, *length;
    const uintptr_t *addresses;
    const double *coefficients;
} Work;

#define FOR_EVERY_CHUNK(work)                                                                                  \
    _Pragma("omp parallel for schedule(dynamic, 1) num_threads((int)work->threads) if (work->threads > 1)")    \
    for (int64_t task = 0; task < work->tasks; task++)                                                         \
        for (int64_t k = task ? work->ends[task - 1] : 0; k < work->ends[task]; k++)

static inline void *address(const Work *work, int64_t k, int row, size_t bytes) {
    const uintptr_t first = work->addresses[row * work->count + work->tensor[k]];
    return first ? (void *)(first + (uintptr_t)work->begin[k] * bytes) : 0;
}

static inline Place place_of(const Work *work, int64_t k) {
#define PARAM_OF(row) ((param_t *)address(work, k, row, sizeof(param_t)))
    return (Place){
        PARAM_OF(PARAM_AT), PARAM_OF(GRAD_AT), PARAM_OF(MEMORY_AT), PARAM_OF(MOMENTUM_AT), PARAM_OF(SQUARE_AT),
        (wide *)address(work, k, TOTAL_AT, sizeof(wide)), (slot_t *)address(work, k, SLOT_AT, sizeof(slot_t)),
    };
}

/* One step of a chunk, whose entry goes into the slot of `place`, if there is one; returns what `sweep` does. */
static __attribute__((noinline)) double step(const Place place, const int64_t n, const double *numbers, const int64_t is_before) {
#if MEMORY == CM
    return !place.slot ? sweep(place, n, numbers, NEVER, 0)
           : is_before ? sweep(place, n, numbers, BEFORE, 0)
                       : sweep(place, n, numbers, AFTER, 0);
#else
    (void)is_before;
    return place.slot && place.momentum ? sweep(place, n, numbers, AFTER, 1)
           : place.slot                 ? sweep(place, n, numbers, AFTER, 0)
           : place.momentum             ? sweep(place, n, numbers, NEVER, 1)
                                        : sweep(place, n, numbers, NEVER, 0);
#endif
}

/* One step. `squares` gets the sum of the gradient's squares of each chunk, which does not depend on the threads. */
void cmbench_step(const Work *work, int64_t is_before, double *squares) {
    FOR_EVERY_CHUNK(work)
        squares[k] = step(place_of(work, k), work->length[k], work->coefficients + work->tensor[k] * work->width,
                          is_before);
}

/* What ranks the entry of this step, before it is made: `squares` gets the sum of its squares of each chunk. */
void cmbench_measure(const Work *work, int64_t of_entry, double *squares) {
    FOR_EVERY_CHUNK(work) {
        const Place place = place_of(work, k);
        const double *numbers = work->coefficients + work->tensor[k] * work->width;
        squares[k] = of_entry && place.memory ? measure(place, work->length[k], numbers, 1)
                                              : measure(place, work->length[k], numbers, 0);
    }
}

#if LANEWISE

/* The lanes of one parameter: runs beside each other, `size` numbers each, every one with a buffer of its own of
 * `capacity` entries. Row c of `priorities` and `ages` (capacity, lanes) ranks their entries c, the first of which is
 * where `place.slot` begins; `accepted` (lanes). `drawn` (lanes), if it is there, stands in for the norms. */
typedef struct {
    int64_t lanes, size, capacity, is_fifo, of_entry;
    double decay;
    double *coefficients;
    const wide *drawn;
    wide *priorities;
    int64_t *ages, *accepted;
    Place place;
} Lanes;

/* Which entry of each of some lanes' buffers would go next, its priority (by age: −age), and how many there are. */
typedef struct {
    wide lowest[LANES];
    int64_t goes[LANES], filled[LANES];
} Next;

INLINE Next next_of(const Lanes *work, const int64_t first, const int n, const int is_fifo) {
    Next next;
    for (int lane = 0; lane < LANES; lane++) {
        next.lowest[lane] = (wide)INFINITY;
        next.goes[lane] = next.filled[lane] = 0;
    }
    for (int64_t c = 0; c < work->capacity; c++) {
        const wide *restrict priorities = work->priorities + c * work->lanes + first;
        const int64_t *restrict ages = work->ages + c * work->lanes + first;
        for (int lane = 0; lane < n; lane++) {
            const wide key = is_fifo ? -(wide)ages[lane] : priorities[lane];
            const int is_lower = key < next.lowest[lane];
            next.goes[lane] = is_lower ? c : next.goes[lane];
            next.lowest[lane] = is_lower ? key : next.lowest[lane];
            next.filled[lane] += priorities[lane] > -(wide)INFINITY;
        }
    }
    return next;
}

static inline Place moved(Place place, const int64_t by) {
#define MOVE(pointer) if (pointer) pointer += by
    MOVE(place.param); MOVE(place.grad); MOVE(place.memory); MOVE(place.momentum); MOVE(place.square); MOVE(place.total);
    place.slot = 0;
    return place;
}

/* One step, all of it: the update, then the insertion, with what is left of it in gradient and memory. */
void cmbench_lanes(const Lanes *work) {
    const int64_t lanes = work->lanes, size = work->size;
    const double *numbers = work->coefficients;
    const param_t *ranked = work->of_entry && work->place.memory ? work->place.memory : work->place.grad;
    const param_t *entries = work->place.memory ? work->place.memory : work->place.grad;
    for (int64_t first = 0; first < lanes; first += LANES) {
        const int n = lanes - first < LANES ? (int)(lanes - first) : LANES;
        const Next next = work->is_fifo ? next_of(work, first, n, 1) : next_of(work, first, n, 0);
        for (int lane = 0, end; lane < n; lane = end) { /* those with as many entries at once: mostly all */
            for (end = lane + 1; end < n && next.filled[end] == next.filled[lane]; end++) {}
            work->coefficients[SCALE] = 1.0 / (double)(next.filled[lane] ? next.filled[lane] : 1);
            step(moved(work->place, (first + lane) * size), (end - lane) * size, numbers, 0);
        }
        for (int lane = 0; lane < n; lane++) {
            const int64_t at = (first + lane) * size, own = next.goes[lane] * lanes + first + lane;
            double squares = 0;
            for (int64_t i = at; i < at + size; i++) squares += (double)LOAD(ranked[i]) * (double)LOAD(ranked[i]);
            const wide norm = (wide)sqrt(squares), rank = work->drawn ? work->drawn[first + lane] : norm;
            if (!isfinite(norm) || !(work->is_fifo || rank > next.lowest[lane])) continue;
            work->priorities[own] = rank;
            work->ages[own] = 0;
            work->accepted[first + lane]++;
            slot_t *slot = work->place.slot + own * size;
            for (int64_t i = 0; i < size; i++) {
                const slot_t kept = STORE_SLOT(LOAD(entries[at + i]));
                work->place.total[at + i] += LOAD_SLOT(kept) - LOAD_SLOT(slot[i]);
                slot[i] = kept;
            }
        }
        for (int64_t c = 0; c < work->capacity; c++) {
            wide *restrict priorities = work->priorities + c * lanes + first;
            int64_t *restrict ages = work->ages + c * lanes + first;
            for (int lane = 0; lane < n; lane++) {
                priorities[lane] *= (wide)work->decay;
                ages[lane]++;
            }
        }
    }
}

#endif

/* The best k of a stream of candidates, in a buffer that is cut back to little more than k whenever it is full.
 *
 * A candidate is one 64-bit key: its similarity in the upper half, made comparable as an unsigned number, and the
 * complement of its number in the lower. Larger keys come first, so equal similarities are ordered by smaller number.
 * What is kept does not depend on the order in which candidates arrive. */
#ifndef FEWLABELS_TOPK_H
#define FEWLABELS_TOPK_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    float threshold; /* nothing below can be among the best k any more */
    int32_t least;   /* the same for sums of whole numbers */
    int32_t count;
    int32_t self; /* the number that is not its own neighbour; -1: none */
    int32_t num_known;
    const int32_t *known; /* numbers that are not taken: a list has them already */
    uint64_t *keys;
} best_t;

static inline uint64_t key_of(float similarity, int32_t number) {
    uint32_t bits;
    similarity += 0.0f; /* -0 is 0 */
    memcpy(&bits, &similarity, 4);
    bits = (bits & 0x80000000u) ? ~bits : (bits | 0x80000000u);
    return ((uint64_t)bits << 32) | (uint32_t)~(uint32_t)number;
}

static inline float key_similarity(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    float similarity;
    bits = (bits & 0x80000000u) ? (bits & 0x7fffffffu) : ~bits;
    memcpy(&similarity, &bits, 4);
    return similarity;
}

static inline int32_t key_number(uint64_t key) { return (int32_t) ~(uint32_t)key; }

static inline uint64_t middle_of(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Put the keys low to high (exclusive) that are at least `least` in front; where the others begin. Where a key falls
 * cannot be predicted, so nothing branches on it. */
static inline int64_t parted(uint64_t *keys, int64_t low, int64_t high, uint64_t least) {
    int64_t end = low;
    for (int64_t i = low; i < high; i++) {
        uint64_t key = keys[i];
        keys[i] = keys[end];
        keys[end] = key;
        end += key >= least;
    }
    return end;
}

/* Put the largest of n keys in front, in any order: k of them, or up to `slack` more. How many, and the smallest. */
static int64_t select_largest(uint64_t *keys, int64_t n, int64_t k, int64_t slack, uint64_t *smallest) {
    int64_t low = 0, high = n; /* those before `low` are among the k, those from `high` are not */
    for (;;) {
        uint64_t pivot = *smallest = middle_of(keys[low], keys[low + (high - low) / 2], keys[high - 1]);
        int64_t end = parted(keys, low, high, pivot);
        if (end < k) low = end;
        else if (end <= k + slack) return end;
        else if (end < high) high = end;
        else if ((high = parted(keys, low, high, pivot + 1)) < k) return k; /* from there on all are the pivot */
    }
}

static int larger_first(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left < right) - (left > right);
}

static void sort_descending(uint64_t *keys, int64_t n) {
    if (n > 256) {
        qsort(keys, (size_t)n, sizeof *keys, larger_first);
        return;
    }
    for (int64_t gap = n > 64 ? 23 : 1; gap > 0; gap = gap > 1 ? (gap > 4 ? 4 : 1) : 0)
        for (int64_t i = gap; i < n; i++) {
            uint64_t key = keys[i];
            int64_t j = i;
            for (; j >= gap && keys[j - gap] < key; j -= gap) keys[j] = keys[j - gap];
            keys[j] = key;
        }
}

/* The same for sums of whole numbers. */
static inline uint64_t key_of_sum(int32_t sum, int32_t number) {
    return ((uint64_t)((uint32_t)sum ^ 0x80000000u) << 32) | (uint32_t)~(uint32_t)number;
}

static inline int is_taken(const best_t *best, int32_t number) {
    int taken = number == best->self;
    for (int32_t i = 0; i < best->num_known; i++) taken |= best->known[i] == number;
    return taken;
}

static inline void offer_sum(best_t *best, int32_t sum, int32_t number, int64_t k, int64_t capacity) {
    if (is_taken(best, number)) return;
    best->keys[best->count++] = key_of_sum(sum, number);
    if (best->count == capacity) {
        uint64_t smallest;
        best->count = (int32_t)select_largest(best->keys, capacity, k, (capacity - k) / 4, &smallest);
        best->least = (int32_t)((uint32_t)(smallest >> 32) ^ 0x80000000u);
    }
}

static inline void offer(best_t *best, float similarity, int32_t number, int64_t k, int64_t capacity) {
    if (is_taken(best, number)) return;
    best->keys[best->count++] = key_of(similarity, number);
    if (best->count == capacity) {
        uint64_t smallest;
        best->count = (int32_t)select_largest(best->keys, capacity, k, (capacity - k) / 4, &smallest);
        best->threshold = key_similarity(smallest);
    }
}

static void best_start(best_t *best, uint64_t *keys, int32_t self) {
    best->threshold = -INFINITY;
    best->least = INT32_MIN;
    best->count = 0;
    best->self = self;
    best->num_known = 0;
    best->known = NULL;
    best->keys = keys;
}

/* Begin with the entries of a list of k that best_write made. */
static void best_read(best_t *best, int64_t k, const int32_t *number, const float *similarity) {
    for (int64_t i = 0; i < k && number[i] >= 0; i++) best->keys[best->count++] = key_of(similarity[i], number[i]);
    best->known = number;
    best->num_known = best->count;
    if (best->count == k) best->threshold = similarity[k - 1];
}

/* Take none of a list of k that best_write made, nor what is below its last one by more than `slack`. */
static void best_know(best_t *best, int64_t k, const int32_t *number, const float *similarity, float slack) {
    best->known = number;
    while (best->num_known < k && number[best->num_known] >= 0) best->num_known++;
    if (best->num_known == k) best->threshold = similarity[k - 1] - slack;
}

/* Add the entries of the list that best_know was given: there is room for them. */
static void best_join(best_t *best, const float *similarity) {
    for (int32_t i = 0; i < best->num_known; i++)
        best->keys[best->count++] = key_of(similarity[i], best->known[i]);
}

/* Keep the best `most` at most, in any order. */
static void best_cut(best_t *best, int64_t most) {
    uint64_t smallest;
    if (best->count > most) best->count = (int32_t)select_largest(best->keys, best->count, most, 0, &smallest);
}

/* Write the best k, best first; -1 and 0 where there are fewer. Returns how many there are. */
static int64_t best_write(best_t *best, int64_t k, int32_t *number, float *similarity) {
    best_cut(best, k);
    const int64_t found = best->count;
    sort_descending(best->keys, found);
    for (int64_t i = 0; i < found; i++) {
        number[i] = key_number(best->keys[i]);
        similarity[i] = key_similarity(best->keys[i]);
    }
    for (int64_t i = found; i < k; i++) {
        number[i] = -1;
        similarity[i] = 0.0f;
    }
    return found;
}

/* The numbers of the best k, best first; -1 where there are fewer. */
static void best_numbers(best_t *best, int64_t k, int32_t *number) {
    best_cut(best, k);
    sort_descending(best->keys, best->count);
    for (int64_t i = 0; i < k; i++) number[i] = i < best->count ? key_number(best->keys[i]) : -1;
}

#endif

/* A tile of codes: ROWS queries against 32 points in two panels. Included once for each instruction set, with TILE, the
 * one to be used, defined. sums: [query][point], which begin with the bias of the points. */

#define TILE_PLAIN 0
#define TILE_AVX2 1
#define TILE_AVX512 2
#define TILE_VNNI 3

static inline __attribute__((always_inline)) int32_t NAME(word)(const int8_t *packed, int64_t at) {
    int32_t word;
    memcpy(&word, packed + 4 * at, 4);
    return word;
}

#if TILE == TILE_AVX512 || TILE == TILE_VNNI

#if TILE == TILE_VNNI
#define ADD_PRODUCTS(sum, points, query) _mm512_dpbusd_epi32(sum, points, query)
#else
#define ADD_PRODUCTS(sum, points, query) \
    _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(points, query), _mm512_set1_epi16(1)))
#endif
static inline __attribute__((always_inline)) void NAME(tile_codes)(const int8_t *packed, const uint8_t *left,
                                                                   const uint8_t *right, const int32_t *bias,
                                                                   int64_t width, int32_t (*sums)[2 * PANEL]) {
    __m512i sum[ROWS][2];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        sum[r][0] = _mm512_loadu_si512(bias);
        sum[r][1] = _mm512_loadu_si512(bias + PANEL);
    }
    for (int64_t g = 0; g < width / 4; g++) {
        const __m512i a = _mm512_loadu_si512(left + g * 64), b = _mm512_loadu_si512(right + g * 64);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) {
            const __m512i query = _mm512_set1_epi32(NAME(word)(packed, g * ROWS + r));
            sum[r][0] = ADD_PRODUCTS(sum[r][0], a, query);
            sum[r][1] = ADD_PRODUCTS(sum[r][1], b, query);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        _mm512_storeu_si512(sums[r], sum[r][0]);
        _mm512_storeu_si512(sums[r] + PANEL, sum[r][1]);
    }
}
#undef ADD_PRODUCTS

static inline uint32_t NAME(mask_codes)(const int32_t *sums, int32_t least) {
    const __m512i bound = _mm512_set1_epi32(least);
    return (uint32_t)_mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums), bound) |
           (uint32_t)_mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums + PANEL), bound) << PANEL;
}

#elif TILE == TILE_AVX2

static inline __attribute__((always_inline)) void NAME(tile_codes)(const int8_t *packed, const uint8_t *left,
                                                                   const uint8_t *right, const int32_t *bias,
                                                                   int64_t width, int32_t (*sums)[2 * PANEL]) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (int half = 0; half < 2; half++) {
        const uint8_t *panel = half ? right : left;
        __m256i sum[ROWS][2];
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++)
                sum[r][j] = _mm256_loadu_si256((const __m256i *)(bias + half * PANEL + 8 * j));
        for (int64_t g = 0; g < width / 4; g++) {
            const __m256i a = _mm256_loadu_si256((const __m256i *)(panel + g * 64)),
                          b = _mm256_loadu_si256((const __m256i *)(panel + g * 64 + 32));
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++) {
                const __m256i query = _mm256_set1_epi32(NAME(word)(packed, g * ROWS + r));
                sum[r][0] =
                    _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(_mm256_maddubs_epi16(a, query), ones));
                sum[r][1] =
                    _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(_mm256_maddubs_epi16(b, query), ones));
            }
        }
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++)
                _mm256_storeu_si256((__m256i *)(sums[r] + half * PANEL + 8 * j), sum[r][j]);
    }
}

static inline uint32_t NAME(mask_codes)(const int32_t *sums, int32_t least) {
    uint32_t below = 0;
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m256i part = _mm256_loadu_si256((const __m256i *)(sums + 8 * j));
        below |= (uint32_t)_mm256_movemask_ps((__m256)_mm256_cmpgt_epi32(_mm256_set1_epi32(least), part)) << 8 * j;
    }
    return ~below;
}

#else

static inline uint32_t NAME(mask_codes)(const int32_t *sums, int32_t least) {
    uint32_t mask = 0;
    for (int i = 0; i < 2 * PANEL; i++) mask |= (uint32_t)(sums[i] >= least) << i;
    return mask;
}

#if defined(__SSE2__)

/* One query against 16 points, whose numbers are widened to 16 bits: two sums for each point. */
static inline void NAME(half_tile)(const int8_t *packed, int64_t r, const uint8_t *panel, const int32_t *bias,
                                   int64_t width, int32_t *sums) {
    const __m128i zero = _mm_setzero_si128();
    __m128i sum[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) sum[j] = zero;
    for (int64_t g = 0; g < width / 4; g++) {
        const __m128i word = _mm_set1_epi32(NAME(word)(packed, g * ROWS + r));
        const __m128i query = _mm_srai_epi16(_mm_unpacklo_epi8(zero, word), 8);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const __m128i points = _mm_loadu_si128((const __m128i *)(panel + g * 64 + 16 * j));
            sum[2 * j] = _mm_add_epi32(sum[2 * j], _mm_madd_epi16(_mm_unpacklo_epi8(points, zero), query));
            sum[2 * j + 1] = _mm_add_epi32(sum[2 * j + 1], _mm_madd_epi16(_mm_unpackhi_epi8(points, zero), query));
        }
    }
    int32_t pairs[2 * PANEL];
    memcpy(pairs, sum, sizeof pairs);
    for (int i = 0; i < PANEL; i++) sums[i] = bias[i] + pairs[2 * i] + pairs[2 * i + 1];
}

#else

static inline void NAME(half_tile)(const int8_t *packed, int64_t r, const uint8_t *panel, const int32_t *bias,
                                   int64_t width, int32_t *sums) {
    int32_t sum[PANEL];
    for (int i = 0; i < PANEL; i++) sum[i] = bias[i];
    for (int64_t g = 0; g < width / 4; g++) {
        const int8_t *query = packed + (g * ROWS + r) * 4;
        for (int i = 0; i < PANEL; i++)
            for (int f = 0; f < 4; f++) sum[i] += (int32_t)query[f] * (int32_t)panel[g * 64 + i * 4 + f];
    }
    memcpy(sums, sum, sizeof sum);
}

#endif

static inline void NAME(tile_codes)(const int8_t *packed, const uint8_t *left, const uint8_t *right,
                                    const int32_t *bias, int64_t width, int32_t (*sums)[2 * PANEL]) {
    for (int r = 0; r < ROWS; r++) {
        NAME(half_tile)(packed, r, left, bias, width, sums[r]);
        NAME(half_tile)(packed, r, right, bias + PANEL, width, sums[r] + PANEL);
    }
}

#endif

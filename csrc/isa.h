/* All that is compiled once for each instruction set. */

typedef float NAME(v8_) __attribute__((vector_size(32), aligned(4)));
typedef uint32_t NAME(u8_) __attribute__((vector_size(32), aligned(4)));
#define v8 NAME(v8_)
#define u8 NAME(u8_)

#include "rank.h"
#include "search.h"
#include "tiles.h"
#include "codes.h"
#include "probe.h"

#define VECTORS 1
#define PASS(x) NAME(x##_8)
#include "solve.h"
#undef VECTORS
#undef PASS
#define VECTORS 2
#define PASS(x) NAME(x##_16)
#include "solve.h"
#undef VECTORS
#undef PASS
#define VECTORS 3
#define PASS(x) NAME(x##_24)
#include "solve.h"
#undef VECTORS
#undef PASS
#define VECTORS 4
#define PASS(x) NAME(x##_32)
#include "solve.h"
#undef VECTORS
#undef PASS

static const isa_t NAME(isa) = {
    NAME(search_rows),
    NAME(rank_rows),
    NAME(search_clusters),
    NAME(search_codes),
    NAME(multiply_all_codes),
    NAME(encode_rows),
    NAME(multiply_matrices),
    {NAME(product_8), NAME(product_16), NAME(product_24), NAME(product_32)},
    {NAME(advance_8), NAME(advance_16), NAME(advance_24), NAME(advance_32)},
    {NAME(turn_8), NAME(turn_16), NAME(turn_24), NAME(turn_32)},
    {NAME(lift_8), NAME(lift_16), NAME(lift_24), NAME(lift_32)},
};

#undef v8
#undef u8

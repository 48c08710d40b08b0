/* Loops that NumPy would walk in many passes; components/contract/kernels.py says what each is for.
   C11 without libraries. All arrays are C-contiguous. */
#include <stdint.h>
#include <string.h>

/* One library for all processors of a kind: the widest instructions that the one at hand has are used. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#define WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDEST
#endif

/* Candidates handled at a time: their sums stay in the first cache. */
#define ROWS 64

/* The value that more than half of n have, if there is one (Boyer and Moore's majority vote). */
static inline float majority(const float *value, int n) {
  float found = value[0];
  int votes = 0;
  for (int i = 0; i < n; i++) {
    if (!votes) found = value[i];
    votes += value[i] == found ? 1 : -1;
  }
  return found;
}

/* Between which knots x lies, from 0; in part how far on the way, 0 to 1. */
static inline int64_t between(float x, const float *knot, const float *per_gap, int64_t knots, float *part) {
  int64_t at = 0;
  for (int64_t k = 1; k < knots - 1; k++) at += x >= knot[k];
  const float t = (x - knot[at]) * per_gap[at];
  *part = t < 0 ? 0 : t > 1 ? 1 : t;
  return at;
}

/* What the linear parts of the ranker's network make of n candidates: see ranking.Tables. A number adds to
   each column what lies between its values at two knots. What most candidates of a block share, as what the
   request says of itself and what a source says of pages that it does not list, is added once. */
WIDEST void first_layer(
    int64_t n, int64_t fields, int64_t knots, int64_t codes, int64_t units, int64_t vectors, int64_t columns,
    const float *number,     /* (fields, n) */
    const float *knot,       /* (fields, knots), ascending */
    const float *per_gap,    /* (fields, knots - 1), 1 / their distances */
    const float *value,      /* (fields, knots, columns), at the knots */
    const float *mean, const float *per_scale, const float *square, /* (fields) */
    float clip,
    const int64_t *row,       /* (codes, n), of the two below */
    const float *code_value,  /* (., columns) */
    const float *code_square, /* (.) */
    const float *start,       /* (columns), the biases */
    float share,              /* of the factorisation machine's sum of products */
    float *work,              /* (2 + ROWS, columns) */
    float *hidden,            /* out (n, units), rectified */
    float *logit) {           /* out (n) */
  float *base = work, *same = work + columns, *sums = work + 2 * columns;
  for (int64_t first = 0; first < n; first += ROWS) {
    const int rows = (int)(n - first < ROWS ? n - first : ROWS);
    float squares[ROWS] = {0};
    memcpy(base, start, (size_t)columns * sizeof(float));
    memset(sums, 0, (size_t)(rows * columns) * sizeof(float));
    for (int64_t f = 0; f < fields; f++) {
      const float *x = number + f * n + first, *k = knot + f * knots, *p = per_gap + f * (knots - 1);
      const float *at_knots = value + f * knots * columns, usual = majority(x, rows);
      float part;
      const float *left = at_knots + between(usual, k, p, knots, &part) * columns;
      for (int64_t c = 0; c < columns; c++) {
        same[c] = left[c] + part * (left[c + columns] - left[c]);
        base[c] += same[c];
      }
      for (int i = 0; i < rows; i++) {
        float v = (x[i] - mean[f]) * per_scale[f];
        v = v < -clip ? -clip : v > clip ? clip : v;
        squares[i] += v * v * square[f];
      }
      for (int i = 0; i < rows; i++) {
        if (x[i] == usual) continue;
        float *sum = sums + i * columns;
        left = at_knots + between(x[i], k, p, knots, &part) * columns;
        for (int64_t c = 0; c < columns; c++) sum[c] += left[c] + part * (left[c + columns] - left[c]) - same[c];
      }
    }
    for (int64_t f = 0; f < codes; f++) {
      const int64_t *r = row + f * n + first;
      int differ = 0;
      for (int i = 1; i < rows; i++) differ |= r[i] != r[0];
      if (!differ)
        for (int64_t c = 0; c < columns; c++) base[c] += code_value[r[0] * columns + c];
      for (int i = 0; i < rows; i++) {
        squares[i] += code_square[r[i]];
        if (!differ) continue;
        const float *of_code = code_value + r[i] * columns;
        for (int64_t c = 0; c < columns; c++) sums[i * columns + c] += of_code[c];
      }
    }
    for (int i = 0; i < rows; i++) {
      float *sum = sums + i * columns, products = 0;
      for (int64_t c = 0; c < columns; c++) sum[c] += base[c];
      for (int64_t c = 0; c < units; c++) hidden[(first + i) * units + c] = sum[c] > 0 ? sum[c] : 0;
      for (int64_t c = units; c < units + vectors; c++) products += sum[c] * sum[c];
      logit[first + i] = sum[units + vectors] + share * (products - squares[i]);
    }
  }
}

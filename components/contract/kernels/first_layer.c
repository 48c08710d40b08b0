#include "common.h"

/* Candidates handled at a time: their sums stay in the first cache. */
#define ROWS 64

/* Which of a block's numbers has a value that many have, if there is one: the most frequent of four. */
INLINE int usual(const float *value) {
  int found = 0, most = 0;
  for (int guess = 0; guess < ROWS; guess += ROWS / 4) {
    int same = 0;
    for (int i = 0; i < ROWS; i++) same += value[i] == value[guess];
    if (same > most) most = same, found = guess;
  }
  return found;
}

/* Rows of whole vectors: columns is a multiple of 16. */
#define EACH_COLUMN                              \
  for (int64_t first = 0; first < columns; first += 16) \
    for (int64_t c = first; c < first + 16; c++)

INLINE void add(const float *restrict more, int64_t columns, float *restrict sum) {
  EACH_COLUMN sum[c] += more[c];
}

/* So far on from one row to the next. */
INLINE void line(const float *restrict row, float part, int64_t columns, float *restrict found) {
  EACH_COLUMN found[c] = row[c] + part * (row[c + columns] - row[c]);
}

/* The same, added to a sum, instead of another. */
INLINE void add_line(
    const float *restrict row, float part, const float *restrict other, int64_t columns, float *restrict sum) {
  EACH_COLUMN sum[c] += row[c] + part * (row[c + columns] - row[c]) - other[c];
}

/* What the linear parts of the ranker's network make of n candidates: see first_layer.FirstLayer. A number adds to
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
      const float *k = knot + f * knots, *p = per_gap + f * (knots - 1), *at_knots = value + f * knots * columns;
      /* The block's numbers: between which knots each lies, and how far on. A short block is filled up. */
      float x[ROWS], part[ROWS];
      int32_t at[ROWS] = {0};
      for (int i = 0; i < ROWS; i++) x[i] = number[f * n + first + (i < rows ? i : 0)];
      for (int64_t j = 1; j < knots - 1; j++)
        for (int i = 0; i < ROWS; i++) at[i] += x[i] >= k[j];
      for (int i = 0; i < ROWS; i++) {
        const float t = (x[i] - k[at[i]]) * p[at[i]];
        part[i] = t < 0 ? 0 : t > 1 ? 1 : t;
      }
      for (int i = 0; i < ROWS; i++) {
        const float v = (x[i] - mean[f]) * per_scale[f], w = v < -clip ? -clip : v > clip ? clip : v;
        squares[i] += w * w * square[f];
      }
      const int u = usual(x);
      line(at_knots + at[u] * columns, part[u], columns, same);
      add(same, columns, base);
      /* Who differs is written down first: it cannot be guessed. */
      int32_t other[ROWS];
      int others = 0;
      for (int i = 0; i < rows; i++) {
        other[others] = i;
        others += x[i] != x[u];
      }
      for (int j = 0; j < others; j++) {
        const int i = other[j];
        add_line(at_knots + at[i] * columns, part[i], same, columns, sums + i * columns);
      }
    }
    for (int64_t f = 0; f < codes; f++) {
      const int64_t *r = row + f * n + first;
      int differ = 0;
      for (int i = 1; i < rows; i++) differ |= r[i] != r[0];
      if (!differ) add(code_value + r[0] * columns, columns, base);
      for (int i = 0; i < rows; i++) {
        squares[i] += code_square[r[i]];
        if (differ) add(code_value + r[i] * columns, columns, sums + i * columns);
      }
    }
    for (int i = 0; i < rows; i++) {
      float *sum = sums + i * columns, products = 0;
      add(base, columns, sum);
      for (int64_t c = 0; c < units; c++) hidden[(first + i) * units + c] = sum[c] > 0 ? sum[c] : 0;
      for (int64_t c = units; c < units + vectors; c++) products += sum[c] * sum[c];
      logit[first + i] = sum[units + vectors] + share * (products - squares[i]);
    }
  }
}

/* Pooling for one type, see pool.c. An item of work is a row of the output, of `n` channels that are neighbours: all of
 * them in channels-last memory, else one. */

/* larger, or the first NaN */
static inline int R(better)(REAL v, REAL best) { return (v > best) | ((v != v) & (best == best)); }

static inline void R(max_window)(const Pool *p, const REAL *restrict x, const Strides *s, const Window *u,
                                 REAL *restrict y, int64_t *restrict index) {
  for (int64_t c = 0; c < p->n; c++) y[c] = -(REAL)__builtin_inf(), index[c] = -1;
  for (int64_t i = u->h.begin; i < u->h.end; i++)
    for (int64_t j = u->w.begin; j < u->w.end; j++) {
      int64_t row = u->h0 + i * p->h.dilation, col = u->w0 + j * p->w.dilation, at = row * p->w.in + col;
      const REAL *from = x + row * s->h + col * s->w;
      for (int64_t c = 0; c < p->n; c++) {
        REAL v = from[c], best = y[c];
        int take = R(better)(v, best) | (index[c] < 0);
        y[c] = take ? v : best;
        index[c] = take ? at : index[c];
      }
    }
}

static void R(max_run)(const Pool *p, const Array *args, const Team *team) {
  const Strides sy = strides_of(&args[0]), si = strides_of(&args[1]), sx = strides_of(&args[2]);
  int64_t begin, end;
  team_split(team, p->batch * p->planes * p->h.out, 1, &begin, &end);
  for (int64_t item = begin; item < end; item++) {
    int64_t h = item % p->h.out, c = item / p->h.out % p->planes, b = item / p->h.out / p->planes;
    const REAL *x = (const REAL *)args[2].data + b * sx.n + c * sx.c;
    REAL *y = (REAL *)args[0].data + b * sy.n + c * sy.c + h * sy.h;
    int64_t *index = (int64_t *)args[1].data + b * si.n + c * si.c + h * si.h;
    for (int64_t w = 0; w < p->w.out; w++) {
      const Window u = window_at(p, h, w);
      R(max_window)(p, x, &sx, &u, y + w * sy.w, index + w * si.w);
    }
  }
}

/* one image: dx = 0, then every output's gradient goes to where its maximum was */
static void R(scatter)(const Pool *p, REAL *dx, const Strides *sx, const REAL *dy, const Strides *sy,
                       const int64_t *index, const Strides *si) {
  for (int64_t i = 0; i < p->h.in; i++)
    for (int64_t j = 0; j < p->w.in; j++)
      for (int64_t c = 0; c < p->n; c++) dx[i * sx->h + j * sx->w + c] = 0;
  for (int64_t i = 0; i < p->h.out; i++)
    for (int64_t j = 0; j < p->w.out; j++)
      for (int64_t c = 0; c < p->n; c++) {
        int64_t k = index[i * si->h + j * si->w + c];
        if (k < 0 || k >= p->h.in * p->w.in) continue;
        int64_t row = k / p->w.in, col = k - row * p->w.in;
        dx[row * sx->h + col * sx->w + c] += dy[i * sy->h + j * sy->w + c];
      }
}

/* windows overlap: threads take whole images, and some of the channels */
static void R(max_back_run)(const Pool *p, const Array *args, const Team *team) {
  const Strides sx = strides_of(&args[0]), sy = strides_of(&args[1]), si = strides_of(&args[2]);
  int64_t begin, end, at_once;
  team_split(team, p->batch * p->channels, 16, &begin, &end);
  for (int64_t item = begin; item < end; item += at_once) {
    int64_t b = item / p->channels, c = item % p->channels;
    at_once = p->planes > 1 ? 1 : clip(end - item, 1, p->channels - c);
    Pool some = *p;
    some.n = at_once;
    R(scatter)(&some, (REAL *)args[0].data + b * sx.n + c * sx.c, &sx, (const REAL *)args[1].data + b * sy.n + c * sy.c,
               &sy, (const int64_t *)args[2].data + b * si.n + c * si.c, &si);
  }
}

static void R(avg_run)(const Pool *p, const Array *args, const Team *team) {
  const Strides sy = strides_of(&args[0]), sx = strides_of(&args[1]);
  const REAL count = (REAL)(p->h.kernel * p->w.kernel);
  int64_t begin, end;
  team_split(team, p->batch * p->planes * p->h.out, 1, &begin, &end);
  for (int64_t item = begin; item < end; item++) {
    int64_t h = item % p->h.out, c0 = item / p->h.out % p->planes, b = item / p->h.out / p->planes;
    for (int64_t w = 0; w < p->w.out; w++) {
      const Window u = window_at(p, h, w);
      const REAL *x = (const REAL *)args[1].data + b * sx.n + c0 * sx.c + u.h0 * sx.h + u.w0 * sx.w;
      REAL *restrict y = (REAL *)args[0].data + b * sy.n + c0 * sy.c + h * sy.h + w * sy.w;
      for (int64_t c = 0; c < p->n; c++) y[c] = 0;
      for (int64_t i = u.h.begin; i < u.h.end; i++)
        for (int64_t j = u.w.begin; j < u.w.end; j++)
          for (int64_t c = 0; c < p->n; c++) y[c] += x[i * sx.h + j * sx.w + c];
      for (int64_t c = 0; c < p->n; c++) y[c] /= count;
    }
  }
}

/* dx[i, j] = the sum of dy over the windows that (i, j) lies in, divided by their size */
static void R(avg_back_run)(const Pool *p, const Array *args, const Team *team) {
  const Strides sx = strides_of(&args[0]), sy = strides_of(&args[1]);
  const REAL count = (REAL)(p->h.kernel * p->w.kernel);
  int64_t begin, end;
  team_split(team, p->batch * p->planes * p->h.in, 1, &begin, &end);
  for (int64_t item = begin; item < end; item++) {
    int64_t i = item % p->h.in, c0 = item / p->h.in % p->planes, b = item / p->h.in / p->planes;
    const REAL *dy = (const REAL *)args[1].data + b * sy.n + c0 * sy.c;
    const Range rows = windows_of(&p->h, i);
    for (int64_t j = 0; j < p->w.in; j++) {
      const Range cols = windows_of(&p->w, j);
      REAL *restrict dx = (REAL *)args[0].data + b * sx.n + c0 * sx.c + i * sx.h + j * sx.w;
      for (int64_t c = 0; c < p->n; c++) dx[c] = 0;
      for (int64_t h = rows.begin; h < rows.end; h++)
        for (int64_t w = cols.begin; w < cols.end; w++)
          for (int64_t c = 0; c < p->n; c++) dx[c] += dy[h * sy.h + w * sy.w + c];
      for (int64_t c = 0; c < p->n; c++) dx[c] /= count;
    }
  }
}

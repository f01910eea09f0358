package preflight

import "strings"

// Nearest returns the known name that differs from name only in case, hyphens,
// underscores, and spaces, or else in the fewest letters, at most distance (1 or
// 2), and one less in names of up to 4 letters. It returns "" if there is none.
func Nearest(name string, known []string, distance int) string {
	best, least := "", 3
	for _, k := range known {
		a, b := squash(name), squash(k)
		d := 0
		if a != b {
			if len(a) > 40 {
				continue
			}
			limit := distance
			if min(len(a), len(b)) < 5 {
				limit--
			}
			if d = editDistance(a, b); d > limit {
				continue
			}
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// squash makes spellings of one name equal.
func squash(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

// editDistance returns the number of bytes to insert, delete, replace, or swap with
// their neighbor that turn a into b.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

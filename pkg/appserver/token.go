package appserver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// LoadToken returns the administrator's token from a file. If the file does not exist,
// LoadToken generates a token and creates the file, readable only by its owner, and
// created is true. It refuses a file that other users can write. The error for a file
// that cannot be read or created is an [*fileio.Error].
func LoadToken(file string) (token string, created bool, err error) {
	b, err := fileio.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		token = rand.Text()
		return token, true, fileio.Create(file, []byte(token+"\n"), 0o600)
	}
	if err != nil {
		return "", false, err
	}
	// On Windows, the mode does not contain these permissions.
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return "", false, webpush.WithHint(fmt.Errorf("%s can be written by other users (mode %04o), who could replace the administrator's token", file, info.Mode().Perm()), "chmod go-w "+file)
	}
	if token = strings.TrimSpace(string(b)); len(token) < 16 || strings.ContainsAny(token, " \t\r\n") {
		return "", false, webpush.WithHint(fmt.Errorf("%s does not contain a token, expected one line of at least 16 characters", file), "name another file; one that does not exist is created with a new token")
	}
	return token, false, nil
}

// authorized reports whether a request has the token.
func (s *Server) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 && strings.EqualFold(scheme, "bearer")
}

package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed page
var files embed.FS

// What the page may do in a browser: load its own style and script, and talk to its own server. Nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page serves the page and its parts from the binary.
func (s *Server) page(mux *http.ServeMux) {
	for pattern, name := range map[string]string{"GET /{$}": "index.html", "GET /annal.css": "annal.css", "GET /annal.js": "annal.js"} {
		content, err := fs.ReadFile(files, path.Join("page", name))
		if err != nil {
			panic(err) // a file that the program was not built with
		}
		sum := sha256.Sum256(content)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("ETag", tag)
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
		})
	}
}

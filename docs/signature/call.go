// Calls a method of a service that accepts signed calls only. Needs the standard library only.
//
//	go run call.go KEY_FILE URL [JSON]
//
// The signature is described in ../request-signature.md.
package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"
)

// header is a header of the request, with its name in lower case.
type header struct{ name, value string }

// firstKey returns the key that signs: the first one of a key file.
func firstKey(path string) (id, secret string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "\ufeff")
		fields := strings.Fields(line)
		if len(fields) == 2 && !strings.HasPrefix(fields[0], "#") {
			return fields[0], fields[1], nil
		}
	}
	return "", "", fmt.Errorf("%s: no key", path)
}

// sign returns the value of x-rpc-identity. All headers must be covered by the signature.
func sign(key, secret, host, target string, headers []header, body []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	nonce := make([]byte, 16)
	rand.Read(nonce)
	digest := sha256.Sum256(body)
	signed := fmt.Sprintf("v1.%s.%d.%s.%s", key, time.Now().UnixMilli(), hex.EncodeToString(nonce), encode(digest[:]))
	path, _, _ := strings.Cut(target, "?")
	audience := ""
	if end := strings.LastIndex(path, "/"); end > 0 {
		audience = path[1:end]
	}
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s\n%s\n%s\nPOST %s\n", signed, audience, strings.ToLower(host), target)
	sort.SliceStable(headers, func(a, b int) bool { return headers[a].name < headers[b].name })
	for _, header := range headers {
		fmt.Fprintf(mac, "%s:%s\n", header.name, header.value)
	}
	return signed + "." + encode(mac.Sum(nil))
}

// call sends a signed request, and returns its response.
func call(keyFile, url, body string) (*http.Response, error) {
	key, secret, err := firstKey(keyFile)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	headers := []header{
		{"content-type", "application/json"},
		// A header of the application, which is signed since the request names it.
		{"x-text", "signed by hand"},
		{"x-rpc-signed-headers", "x-text"},
	}
	// Hostname has no brackets around an IPv6 address, which are signed.
	host := request.URL.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	identity := sign(key, secret, host, request.URL.RequestURI(), headers, []byte(body))
	for _, header := range headers {
		request.Header.Set(header.name, header.value)
	}
	request.Header.Set("x-rpc-identity", identity)
	return http.DefaultClient.Do(request)
}

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: call.go KEY_FILE URL [JSON]")
		os.Exit(2)
	}
	body := "{}"
	if len(os.Args) == 4 {
		body = os.Args[3]
	}
	response, err := call(os.Args[1], os.Args[2], body)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
	fmt.Println()
	if response.StatusCode != 200 {
		os.Exit(1)
	}
}

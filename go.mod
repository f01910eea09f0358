module github.com/seed81da77dd/webpush

go 1.26

require github.com/golang-jwt/jwt/v5 v5.3.1

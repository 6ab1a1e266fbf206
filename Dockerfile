# weir in a container: production packages only, not root, state in a volume.
# It listens on all addresses, so it needs an API key, which is made once, and says so when it has none:
#   KEY=$(docker run --rm -v weir:/var/lib/weir weir node server/main.ts keys create --name NAME)
#   docker run -p 8080:8080 -v weir:/var/lib/weir weir

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund
# A second Node and ONNX Runtime for other systems would be most of the image.
RUN rm -rf node_modules/node node_modules/.bin/node node_modules/.bin/npm node_modules/.bin/npx \
    node_modules/onnxruntime-node/bin/napi-v6/darwin node_modules/onnxruntime-node/bin/napi-v6/win32

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 WEIR_HOME=/var/lib/weir
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE NOTICE ./
COPY engine ./engine
COPY models ./models
COPY server ./server
RUN mkdir -p /var/lib/weir && chown 1000:1000 /var/lib/weir
USER 1000:1000
VOLUME /var/lib/weir
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "server/main.ts", "serve"]

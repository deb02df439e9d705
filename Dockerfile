# The replicator. It runs the sources: Node strips the types, no build is needed.
# Debian and not Alpine: what is tested is glibc; better-sqlite3 brings its binary for it.
FROM node:26-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# Without the optional packages (the trial PostgreSQL) and without install scripts: nothing here needs either.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:26-slim
ENV NODE_ENV=production \
    STATE_DIR=/state
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY migrations ./migrations
COPY triggers ./triggers
COPY src ./src
# Compose runs the container as the owner of the database file, whoever that is: the state has to be writable
# for any user. Its secrets are files of mode 0600, and the sticky bit keeps them from being replaced.
RUN ln -s /app/src/cli/bin.js /usr/local/bin/slipway \
    && chmod +x /app/src/cli/bin.js \
    && install -d -m 1777 /state
VOLUME /state
USER node
EXPOSE 8484
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SLIPWAY_CONTROL_PORT || process.env.CONTROL_PORT || 8484}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["slipway"]
CMD ["start"]

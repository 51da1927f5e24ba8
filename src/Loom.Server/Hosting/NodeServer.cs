using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Loom.Server.Configuration;
using Loom.Server.Etcd;
using Loom.Server.Etcd.Gateway;
using Loom.Server.Health;
using Loom.Server.Metrics;
using Loom.Store;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Loom.Server.Hosting;

/// <summary>The client port: serves one store, over gRPC and HTTP on the same addresses. It does not own the store.</summary>
internal sealed class NodeServer : IAsyncDisposable
{
    // Their last words take milliseconds, unless a client does not read.
    private static readonly TimeSpan StreamsPatience = TimeSpan.FromMilliseconds(300);

    private readonly WebApplication application;

    private NodeServer(WebApplication application, HealthProbe health, NodeAddresses addresses)
    {
        this.application = application;
        Health = health;
        Addresses = addresses;
    }

    public HealthProbe Health { get; }

    public NodeAddresses Addresses { get; }

    /// <summary>Binds and serves.</summary>
    /// <param name="store">What is served; not owned.</param>
    /// <param name="settings">Where, and within which limits.</param>
    /// <param name="tls">The certificates of https addresses; null: there are none.</param>
    /// <param name="logging">Where the web host's logs go.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <exception cref="ConfigurationException">An address cannot be bound.</exception>
    public static async Task<NodeServer> StartAsync(
        ILoomStore store, ServeSettings settings, TlsPort? tls = null, Action<ILoggingBuilder>? logging = null, CancellationToken cancellationToken = default)
    {
        var addresses = new NodeAddresses();
        var health = new HealthProbe(store);
        var crossOrigin = new CrossOrigin(settings);
        var gateway = new JsonGateway(settings.Limits);
        var calls = new CallMetrics(settings.ExtensiveMetrics);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = [] });

        // Only what is given here counts: ASPNETCORE_URLS or an appsettings.json that lies about must not move a database's port.
        builder.Configuration.Sources.Clear();
        builder.Logging.ClearProviders();
        logging?.Invoke(builder.Logging);
        builder.Services.Configure<HostOptions>(o => o.ShutdownTimeout = TimeSpan.FromMilliseconds(1500));
        builder.Services.AddSingleton<IHostLifetime, SilentLifetime>();
        builder.Services.AddSingleton(store);
        builder.Services.AddSingleton(settings.Limits);
        builder.Services.AddSingleton(health);
        builder.Services.AddSingleton(addresses);
        builder.Services.AddSingleton<HeaderSource>();
        builder.Services.AddSingleton(calls);
        builder.Services.AddSingleton<EtcdCalls>();
        builder.Services.AddSingleton(_ => new NodeMetrics(store, settings.Name, calls));
        builder.Services.AddSingleton<Callers>();
        builder.Services.AddSingleton<LeaderLoss>();
        builder.Services.AddSingleton<OpenStreams>();

        // Singletons: the services hold no state of a call, and gRPC would make one per call otherwise.
        builder.Services.AddSingleton<KvService>();
        builder.Services.AddSingleton<WatchService>();
        builder.Services.AddSingleton<LeaseService>();
        builder.Services.AddSingleton<SharedClaims>();
        builder.Services.AddSingleton<LockService>();
        builder.Services.AddSingleton<ElectionService>();
        builder.Services.AddSingleton<MaintenanceService>();
        builder.Services.AddSingleton<ClusterService>();
        builder.Services.AddSingleton<AuthService>();
        builder.Services.AddSingleton<RefusedLogins>();
        builder.Services.AddSingleton<ClusterStatusService>();
        builder.Services.AddSingleton<GrpcHealthService>();
        builder.Services.AddGrpc(options =>
        {
            options.MaxReceiveMessageSize = settings.Limits.MaxMessageBytes;
            options.MaxSendMessageSize = null;
            options.Interceptors.Add<CallMetrics>();
            options.Interceptors.Add<EtcdCalls>();
        });
        builder.Services.AddGrpcReflection();
        builder.WebHost.UseSockets(sockets => sockets.CreateBoundListenSocket = KeptAlive.Listen);
        builder.WebHost.ConfigureKestrel(kestrel => Configure(kestrel, settings, tls));

        WebApplication application = builder.Build();
        application.Use(next => context => crossOrigin.RunAsync(context, next));
        application.MapGrpcService<KvService>();
        application.MapGrpcService<WatchService>();
        application.MapGrpcService<LeaseService>();
        application.MapGrpcService<LockService>();
        application.MapGrpcService<ElectionService>();
        application.MapGrpcService<MaintenanceService>();
        application.MapGrpcService<ClusterService>();
        application.MapGrpcService<AuthService>();
        application.MapGrpcService<ClusterStatusService>();
        application.MapGrpcService<GrpcHealthService>();
        application.MapGrpcReflectionService();
        application.MapHealth(health);
        application.Services.GetRequiredService<NodeMetrics>().Map(application);
        application.MapBalancer(new BalancerProbe(store, health));
        if (settings.EnableGateway)
        {
            gateway.Map(application);
            gateway.Bind(((IEndpointRouteBuilder)application).DataSources.SelectMany(source => source.Endpoints));
        }

        try
        {
            await application.StartAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or SocketException)
        {
            await application.DisposeAsync().ConfigureAwait(false);
            throw CannotBind(exception, settings);
        }

        addresses.Bound = [.. application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses];
        return new NodeServer(application, health, addresses);
    }

    /// <summary>
    /// Tries the ports before the data directory is touched: a node that was started with a wrong port must not leave a newly formed cluster behind.
    /// </summary>
    /// <exception cref="ConfigurationException">One is in use.</exception>
    public static void RequireFreePorts(ServeSettings settings)
    {
        foreach (Uri uri in settings.ListenClientUrls.Select(url => new Uri(url)))
        {
            IPAddress address = uri.Host == "localhost" ? IPAddress.Loopback : IPAddress.Parse(uri.Host.Trim('[', ']'));
            using var listener = new TcpListener(address, uri.Port);
            try
            {
                listener.Start();
            }
            catch (SocketException exception)
            {
                throw CannotBind(exception, settings);
            }
        }
    }

    /// <summary>Stops taking connections and waits a bounded time for the calls under way; what is left when the token fires is aborted.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await application.Services.GetRequiredService<OpenStreams>().EndAsync(StreamsPatience, cancellationToken).ConfigureAwait(false);
        try
        {
            await application.StopAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The web host says so when its time was up. The rest of a stop must not be skipped for that.
        }
    }

    public ValueTask DisposeAsync() => application.DisposeAsync();

    private static void Configure(KestrelServerOptions kestrel, ServeSettings settings, TlsPort? tls)
    {
        kestrel.AddServerHeader = false;
        kestrel.AllowSynchronousIO = false;

        // The preface is recognised by OnePort, which calls the connection h2; its scheme stays http, and Kestrel would reset such a stream.
        kestrel.AllowAlternateSchemes = true;
        kestrel.RequestHeaderEncodingSelector = AuthorityEncoding.Select;
        KestrelServerLimits limits = kestrel.Limits;

        // Quiet watches live for days; dead peers are found by pings. (InfiniteTimeSpan overflows to one second here.)
        limits.KeepAliveTimeout = TimeSpan.FromDays(30);
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.Http2.MaxStreamsPerConnection = settings.MaxConcurrentStreams;
        limits.Http2.InitialConnectionWindowSize = 4 * 1024 * 1024;
        limits.Http2.InitialStreamWindowSize = 1024 * 1024;
        if (settings.KeepAliveInterval > TimeSpan.Zero)
        {
            limits.Http2.KeepAlivePingDelay = settings.KeepAliveInterval < TimeSpan.FromSeconds(1) ? TimeSpan.FromSeconds(1) : settings.KeepAliveInterval;
            limits.Http2.KeepAlivePingTimeout = settings.KeepAliveTimeout < TimeSpan.FromSeconds(1) ? TimeSpan.FromSeconds(1) : settings.KeepAliveTimeout;
        }

        var port = new OnePort();
        foreach (string url in settings.ListenClientUrls)
        {
            var uri = new Uri(url);
            void Use(ListenOptions listen)
            {
                listen.Protocols = HttpProtocols.Http1AndHttp2;
                if (uri.Scheme == "https")
                {
                    tls!.Use(listen);
                }
                else
                {
                    listen.Use(next => connection => port.RunAsync(next, connection));
                }
            }

            if (uri.Host == "localhost")
            {
                kestrel.ListenLocalhost(uri.Port, Use);
            }
            else
            {
                kestrel.Listen(IPAddress.Parse(uri.Host.Trim('[', ']')), uri.Port, Use);
            }
        }
    }

    private static ConfigurationException CannotBind(Exception exception, ServeSettings settings)
    {
        string urls = string.Join(" and ", settings.ListenClientUrls);
        SocketError? error = (exception as SocketException ?? exception.InnerException as SocketException ?? exception.InnerException?.InnerException as SocketException)?.SocketErrorCode;
        return error switch
        {
            SocketError.AddressAlreadyInUse => InUse(urls),
            null when exception.Message.Contains("in use", StringComparison.Ordinal) => InUse(urls),
            SocketError.AccessDenied => new ConfigurationException($"no permission to listen on {urls}", "choose a port above 1023, or grant CAP_NET_BIND_SERVICE"),
            SocketError.AddressNotAvailable => new ConfigurationException(
                $"the address of {urls} is not one of this machine's", "write one of this machine's addresses, or 0.0.0.0, in --listen-client-urls"),
            _ => new ConfigurationException(string.Create(CultureInfo.InvariantCulture, $"cannot listen on {urls}: {exception.Message}"), "correct --listen-client-urls"),
        };
    }

    private static ConfigurationException InUse(string urls) => new(
        $"cannot listen on {urls}: the port is in use", "stop what uses it (ss -ltnp shows it), or choose another with --listen-client-urls http://127.0.0.1:PORT");

    /// <summary>Signals are NodeHost's: the order of stopping (hand over, drain, close) is not the web host's business.</summary>
    private sealed class SilentLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

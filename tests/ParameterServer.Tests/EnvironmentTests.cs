using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

public sealed class EnvironmentTests
{
    [Fact]
    public void A_process_without_a_role_has_none() => Assert.Null(Detect());

    [Fact]
    public void A_server_knows_its_number_and_a_worker_all_servers()
    {
        ParameterServerEnvironment server = Detect(("DISTTRAIN_ROLE", "server"), ("DISTTRAIN_PARAMETER_SERVERS", "a.example:1,[::1]:65535, 10.0.0.1:29500"), ("DISTTRAIN_SERVER_INDEX", "2"), ("TORCHELASTIC_RESTART_COUNT", "3"))!;
        Assert.Equal((true, 2, 3), (server.IsServer, server.Index, server.RestartCount));
        Assert.Equal([("a.example", 1), ("::1", 65535), ("10.0.0.1", 29500)], server.Servers.Select(end => (end.Host, end.Port)));
        ParameterServerEnvironment worker = Detect(("DISTTRAIN_ROLE", "worker"), ("DISTTRAIN_PARAMETER_SERVERS", "a:1"))!;
        Assert.Equal((false, 0), (worker.IsServer, worker.Index));
        Assert.Equal([("a", 1)], worker.Connect(Served.Options()).Select(remote => (remote.Host, remote.Port)));
    }

    [Theory]
    [InlineData("chief", "a:1", "0", "DISTTRAIN_ROLE=chief: expected server or worker")]
    [InlineData("worker", null, null, "DISTTRAIN_ROLE=worker without DISTTRAIN_PARAMETER_SERVERS: expected all parameter servers as HOST:PORT,HOST:PORT")]
    [InlineData("worker", "a", null, "DISTTRAIN_PARAMETER_SERVERS: expected parameter servers as HOST:PORT,HOST:PORT, found 'a'")]
    [InlineData("worker", "a:0", null, "DISTTRAIN_PARAMETER_SERVERS: expected parameter servers as HOST:PORT,HOST:PORT, found 'a:0'")]
    [InlineData("worker", "a:65536", null, "DISTTRAIN_PARAMETER_SERVERS: expected parameter servers as HOST:PORT,HOST:PORT, found 'a:65536'")]
    [InlineData("worker", ":1", null, "DISTTRAIN_PARAMETER_SERVERS: expected parameter servers as HOST:PORT,HOST:PORT, found ':1'")]
    [InlineData("worker", "::1:5", null, "DISTTRAIN_PARAMETER_SERVERS: expected parameter servers as HOST:PORT,HOST:PORT, found '::1:5'")]
    [InlineData("worker", "a:1,,b:2", null, "DISTTRAIN_PARAMETER_SERVERS: expected parameter servers as HOST:PORT,HOST:PORT, found ''")]
    [InlineData("server", "a:1,b:2", "2", "DISTTRAIN_SERVER_INDEX=2: expected a whole number from 0 to 1")]
    [InlineData("server", "a:1", "-1", "DISTTRAIN_SERVER_INDEX=-1: expected a whole number from 0 to 0")]
    public void Variables_that_hold_something_else_are_errors_that_name_them(string role, string? servers, string? index, string message)
    {
        FormatException failure = Assert.Throws<FormatException>(() => Detect(("DISTTRAIN_ROLE", role), ("DISTTRAIN_PARAMETER_SERVERS", servers), ("DISTTRAIN_SERVER_INDEX", index)));
        Assert.Equal(message, failure.Message);
    }

    [Theory]
    [InlineData("ps", "1", true, 1)]
    [InlineData("ps", "\"0\"", true, 0)]
    [InlineData("worker", "0", false, 0)]
    [InlineData("chief", "0", false, 0)]
    public void TF_CONFIG_with_ps_tasks_gives_roles_too(string type, string index, bool isServer, int expected)
    {
        ParameterServerEnvironment found = Detect(("TF_CONFIG", "{\"cluster\":{\"chief\":[\"c:1\"],\"worker\":[\"w:2\"],\"ps\":[\"p:3\",\"q:4\"]},\"task\":{\"type\":\"" + type + "\",\"index\":" + index + "}}"))!;
        Assert.Equal((isServer, expected), (found.IsServer, found.Index));
        Assert.Equal(["p", "q"], found.Servers.Select(end => end.Host));
    }

    [Theory]
    [InlineData("""{"cluster":{"worker":["w:2"]},"task":{"type":"worker","index":0}}""")]
    [InlineData("""{"cluster":{"ps":[]},"task":{"type":"worker","index":0}}""")]
    [InlineData("not json")]
    [InlineData("[]")]
    public void TF_CONFIG_without_ps_tasks_gives_none(string config) => Assert.Null(Detect(("TF_CONFIG", config)));

    [Theory]
    [InlineData("""{"cluster":{"ps":["p:3"]}}""", "TF_CONFIG: expected 'task' to be an object with 'type' and 'index'")]
    [InlineData("""{"cluster":{"ps":["p:3"]},"task":{"type":"ps","index":1}}""", "TF_CONFIG: expected task.index from 0 to 0")]
    [InlineData("""{"cluster":{"ps":["p:3"]},"task":{"type":"ps"}}""", "TF_CONFIG: expected task.index from 0 to 0")]
    [InlineData("""{"cluster":{"ps":["p"]},"task":{"type":"ps","index":0}}""", "TF_CONFIG, cluster.ps: expected parameter servers as HOST:PORT,HOST:PORT, found 'p'")]
    [InlineData("""{"cluster":{"ps":[7]},"task":{"type":"ps","index":0}}""", "TF_CONFIG: expected cluster.ps to be a list of HOST:PORT")]
    public void TF_CONFIG_with_ps_tasks_that_can_t_be_read_is_an_error(string config, string message) =>
        Assert.Equal(message, Assert.Throws<FormatException>(() => Detect(("TF_CONFIG", config))).Message);

    private static ParameterServerEnvironment? Detect(params (string Name, string? Value)[] variables) => ParameterServerEnvironment.Detect(name => variables.FirstOrDefault(variable => variable.Name == name).Value);
}

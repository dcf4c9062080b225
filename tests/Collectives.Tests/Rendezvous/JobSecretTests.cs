namespace DistTrain.Collectives.Tests;

/// <summary>A secret comes from where it should, from nowhere else, and is never shown.</summary>
public sealed class JobSecretTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-secret").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Each_new_one_is_another_and_none_shows_itself()
    {
        JobSecret first = JobSecret.Create(), second = JobSecret.Create();
        Assert.False(first.Matches(second));
        Assert.Equal("job secret (hidden)", first.ToString());
        Assert.Equal("job secret (hidden)", $"{second}");
        Assert.True(JobSecret.FromHex($" {first.ToHex().ToUpperInvariant()}\n", "test").Matches(first));
    }

    [Theory]
    [InlineData("", "here: a job secret is 64 hexadecimal digits, found 0 characters")]
    [InlineData("12ab", "here: a job secret is 64 hexadecimal digits, found 4 characters")]
    [InlineData("zz00000000000000000000000000000000000000000000000000000000000000", "here: a job secret is 64 hexadecimal digits, found other characters")]
    public void What_is_no_secret_is_refused_without_being_shown(string text, string expected) =>
        Assert.Equal(expected, Assert.Throws<FormatException>(() => JobSecret.FromHex(text, "here")).Message);

    [Fact]
    public void A_file_that_only_its_owner_can_read_is_taken()
    {
        JobSecret secret = JobSecret.Create();
        string path = Path.Combine(_folder, "secret");
        secret.WriteFile(path);
        Assert.True(JobSecret.FromFile(path).Matches(secret));
        if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        Assert.Throws<IOException>(() => secret.WriteFile(path));
    }

    [Theory]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead, "0640")]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead, "0604")]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherWrite, "0602")]
    public void A_file_that_others_have_rights_to_is_refused(UnixFileMode mode, string shown)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no file modes");
        string path = Path.Combine(_folder, "secret");
        JobSecret.Create().WriteFile(path);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, mode);
        Assert.Equal($"job secret file {path}: has mode {shown}, so others may read or change it; run chmod 600 on it", Assert.Throws<FormatException>(() => JobSecret.FromFile(path)).Message);
    }

    [Fact]
    public void Files_that_are_none_are_refused()
    {
        string path = Path.Combine(_folder, "short");
        File.WriteAllText(path, "abc");
        Assert.Equal($"job secret file {path}: has 3 bytes, expected 64 hexadecimal digits", Assert.Throws<FormatException>(() => JobSecret.FromFile(path)).Message);
        Assert.Throws<FileNotFoundException>(() => JobSecret.FromFile(Path.Combine(_folder, "none")));
        if (!OperatingSystem.IsWindows()) Assert.Throws<FormatException>(() => JobSecret.FromFile("/dev/zero"));
    }

    [Fact]
    public void Parts_cannot_flow_into_one_another()
    {
        JobSecret secret = JobSecret.Create();
        Assert.NotEqual(secret.Authenticate([1, 2], [3]), secret.Authenticate([1], [2, 3]));
        Assert.Equal(secret.Authenticate([1, 2], [3]), secret.Authenticate([1, 2], [3]));
        Assert.NotEqual(secret.Authenticate([1]), JobSecret.Create().Authenticate([1]));
    }

    [Fact]
    public void The_environment_gives_the_digits_or_a_file()
    {
        JobSecret secret = JobSecret.Create();
        string path = Path.Combine(_folder, "secret");
        secret.WriteFile(path);
        JobSecret other = JobSecret.Create();
        Assert.Null(Find());
        Assert.True(Find((JobSecret.FileVariable, path))!.Matches(secret));
        Assert.True(Find((JobSecret.FileVariable, path), (JobSecret.Variable, other.ToHex()))!.Matches(other));
        var failure = Assert.Throws<FormatException>(() => Find((JobSecret.Variable, "nonsense")));
        Assert.Equal("environment variable DISTTRAIN_JOB_SECRET: a job secret is 64 hexadecimal digits, found 8 characters", failure.Message);
    }

    private static JobSecret? Find(params (string Name, string Value)[] variables) =>
        JobSecret.FromVariables(name => variables.FirstOrDefault(variable => variable.Name == name).Value);
}
